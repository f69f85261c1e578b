/** What the host needs for a latency report (edgenet.latency.v1); it computes the statistics itself. */

/** The runs, the start of the network, and what the browser tells of the device. */
export async function latencyReport(engine, { samples_ns, clock_ns }) {
  const { threads, delegated, ms } = engine.opened;
  return {
    threads,
    delegated,
    samples_ns,
    clock_ns,
    cold_start_ms: ms, // import, load, first_inference, total
    isolated: self.crossOriginIsolated,
    device: await device(),
  };
}

async function device() {
  const told = navigator.userAgentData ? await navigator.userAgentData.getHighEntropyValues(["model", "platformVersion", "architecture", "fullVersionList"]) : {};
  return {
    model: told.model || null,
    platform: [told.platform, told.platformVersion].filter(Boolean).join(" ") || null,
    architecture: told.architecture || null,
    browser: browserName(told.fullVersionList || []) || navigator.userAgent,
    cores: navigator.hardwareConcurrency || null,
  };
}

/** The first that is no made-up name ("Not A;Brand" is there to be skipped), the most particular one last. */
function browserName(versions) {
  const real = versions.filter(({ brand }) => !/not.?a/i.test(brand));
  const one = real.find(({ brand }) => brand !== "Chromium") || real[0];
  return one ? `${one.brand} ${one.version}` : null;
}

/** Hands it to the server that the page came from; false where that takes none, or is away. */
export async function send(report) {
  try {
    const asked = await fetch("nonce"); // only a page of this server can read it
    const headers = { "Content-Type": "application/json", "X-Edgenet-Nonce": asked.ok ? (await asked.text()).trim() : "" };
    const answer = await fetch("report", { method: "POST", headers, body: JSON.stringify(report) });
    return answer.ok;
  } catch {
    return false;
  }
}

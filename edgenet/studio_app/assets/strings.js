/** Every text of the page, in English. A translation is another file with the same names; {n} and the like are filled in. */

export const S = {
  shell: {
    steps: { collect: "Collect", teach: "Teach", look: "Look", try: "Try", deploy: "Deploy" },
    stepsLabel: "Steps",
    skip: "Skip to the step",
    gone: "The studio does not answer",
    goneRemedy: "It was stopped, or the connection is gone; the page goes on when it is back",
    close: "Close",
    cancel: "Cancel",
    undo: "Undo",
    photos: ["{n} photo", "{n} photos"],
  },
  collect: { title: "Collect photos" },
  teach: { title: "Teach" },
  look: { title: "Look at the result" },
  try: { title: "Try it" },
  deploy: { title: "Deploy" },
};

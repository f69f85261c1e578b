"""The parts of the page of a training, in the order in which a person would act on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgenet.figures.page_parts import (
    Pictures,
    bullets,
    curve_svg,
    folded,
    heat_svg,
    interval_svg,
    left_out,
    name_html,
    number_of,
    percent,
    safe,
    sentence,
)
from edgenet.figures.teaching_facts import ClassFacts, TeachingReport, surest_first

MOST_LABEL_ERRORS, MOST_WRONG, MOST_OF_DUPLICATES, MOST_OF_MIXUPS = 110, 110, 100, 60
"""How many pictures each part may hold; together with the matrix they stay below `MOST_PICTURES`."""
SURE = 0.9
SMALL_MATRIX = 8
"""A matrix of more classes is drawn instead of written."""
MIXUPS_WITH_PICTURES, PICTURES_OF_MIXUP, MOST_MIXUPS = 15, 4, 200
PICTURES_OF_GROUP, MOST_GROUPS = 6, 40
OPEN_CLASSES, OPEN_PHOTOS, OPEN_GROUPS = 12, 24, 8
"""So many are open; the others open with a click."""
MOST_LINES = 300


def headline(report: TeachingReport) -> str:
    """Return the accuracy in plain words, the warnings, and what to do next."""
    found = report.accuracy
    low, high = found.interval.low, found.interval.high
    warnings = ""
    if report.warnings:
        warnings = f'<div class="notes" role="note"><b>Mind:</b>{bullets(report.warnings)}</div>'
    steps = _next_steps(report)
    todo = f'<div class="next"><h3>What would help most</h3><ol>{"".join(steps)}</ol></div>' if steps else ""
    choices = "".join(f'<p class="muted">{sentence(line)}</p>' for line in report.choices)
    return (
        f'<div class="headline"><div class="figure">{percent(found.top1)}</div>'
        f"<p>Of 100 new photos like yours, about <b>{found.top1:.0f}</b> will get the right name. "
        f"So few photos cannot say it exactly: it is probably between <b>{low:.0f} and {high:.0f}</b>.</p>"
        f"{interval_svg(found.top1, found.interval)}"
        f'<p class="muted">Judged on {number_of(found.photos, "photo")} of {number_of(found.groups, "scene")} that the '
        f"network had not seen, {safe(found.how, 300)}. The range is a 95 % confidence interval; it counts scenes, "
        f"because photos of one scene are right or wrong together.</p>{choices}</div>{warnings}{todo}"
    )


def _next_steps(report: TeachingReport) -> list[str]:
    steps = []
    if report.label_errors:
        count = number_of(len(report.label_errors), "photo")
        steps.append(f'<li>Look at the <a href="#labels">{count} whose label looks wrong</a>.</li>')
    needy = _neediest(report)[:3]
    for one in needy:
        name = name_html(report.class_names[one.index])
        steps.append(f'<li><a href="#classes">{name}</a>: {safe(one.advice[0], 600)}</li>')
    after = report.curve.doubled if report.curve else None
    if after is not None and after.accuracy >= report.accuracy.top1 + 1:
        steps.append(
            f'<li>Take more photos of everything: <a href="#more">twice as many would give about '
            f"{percent(after.accuracy)}</a>.</li>"
        )
    return steps


def _neediest(report: TeachingReport) -> list[ClassFacts]:
    """Return the classes with advice, those with the lowest recall first."""
    needy = [one for one in report.classes if one.advice]
    return sorted(needy, key=lambda one: (100.0 if one.recall is None else one.recall, one.index))


def _label_errors(report: TeachingReport, pictures: Pictures) -> str:
    errors = report.label_errors
    if not errors:
        return "<p>No photo's label looks wrong.</p>"
    listed = errors[:MOST_LABEL_ERRORS]
    cards = [
        pictures.card(
            one.index,
            f'<span class="names">labelled <b>{name_html(report.class_names[one.given], 30)}</b>, looks like '
            f"<b>{name_html(report.class_names[one.likely], 30)}</b></span>"
            f"{min(100 * one.probability, 99):.0f} % likely to be a wrong label",
            one.likely,
        )
        for one in listed
    ]
    sure = [one for one in listed if one.probability >= SURE]
    bulk = ""
    if len(sure) > 1:
        ticks = ",".join(f"{one.index}:{one.likely}" for one in sure)
        text = f"Tick the {len(sure)} that are at least {100 * SURE:.0f} % likely"
        bulk = f'<p class="bulk" data-tick="{ticks}" data-text="{text}" data-spoken="{text} to be wrong"></p>'
    return (
        f"<p>{number_of(len(errors), 'photo')} may have a wrong label: a network that had not seen them answers "
        "differently. Tick those that you agree with; then download the list at the bottom of the "
        f"page.</p>{bulk}{folded(cards, OPEN_PHOTOS, 'photos', 'photo')}{left_out(len(errors), len(listed))}"
    )


def _wrong(report: TeachingReport, pictures: Pictures) -> str:
    above = {one.index for one in report.label_errors}
    rows = surest_first(
        (i for i, photo in enumerate(report.photos) if photo.wrong and i not in above), report.photos
    )
    also = f" {number_of(len(above), 'more is', 'more are')} listed above." if above else ""
    if not rows:
        return (
            f"<p>No photo got a wrong answer.{also}</p>"
            if not above
            else f"<p>No other photo got one.{also}</p>"
        )
    cards = []
    for index in rows[:MOST_WRONG]:
        photo = report.photos[index]
        assert photo.predicted is not None
        caption = (
            f'<span class="names"><b>{name_html(report.class_names[photo.given], 30)}</b> taken for '
            f"<b>{name_html(report.class_names[photo.predicted], 30)}</b></span>{100 * photo.confidence:.0f} % sure"
        )
        cards.append(pictures.card(index, caption))
    return (
        f"<p>{number_of(len(rows), 'photo')} got a wrong answer, those first of which the network was most sure.{also} "
        "Is the object small, cut off, dark or blurred in many of them? Then more photos of that kind help.</p>"
        f"{folded(cards, OPEN_PHOTOS, 'photos', 'photo')}{left_out(len(rows), len(cards))}"
    )


def _confusion(report: TeachingReport, pictures: Pictures) -> str:
    judged = [photo for photo in report.photos if photo.predicted is not None]
    if not judged:
        return ""
    small = len(report.class_names) <= SMALL_MATRIX
    matrix = (
        _matrix(report, pictures)
        if small
        else f'<div class="scroll">{heat_svg(judged, report.class_names)}</div>'
    )
    return (
        "<p>A row for each label, a column for each answer. Blue is right, orange is a mix-up; the darker, the larger "
        f"the share of the row.</p>{matrix}{_mixups(report, pictures)}"
    )


def _matrix(report: TeachingReport, pictures: Pictures) -> str:
    names = [name_html(name, 24) for name in report.class_names]
    examples = {(one.given, one.predicted): one.photos for one in report.mixups}
    lines = []
    for one in report.classes:
        cells = []
        for answer in range(len(names)):
            same = answer == one.index
            rows = examples.get((one.index, answer), ())
            count = one.right if same else len(rows)
            share = count / one.judged if one.judged else 0.0
            shade = "zero" if not count else f"{'r' if same else 'w'}{1 + (share > 0.1) + (share > 0.5)}"
            image = pictures.image(rows[0], f"Example: {report.photos[rows[0]].file}") if rows else ""
            cells.append(f'<td class="{shade}">{count}{image}</td>')
        lines.append(f'<tr><th scope="row">{names[one.index]}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix"><table class="matrix">'
        f'<caption class="hidden">Rows are the labels, columns the answers.</caption><thead><tr>'
        f"<th>label ↓ answer →</th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _mixups(report: TeachingReport, pictures: Pictures) -> str:
    budget = MOST_OF_MIXUPS
    with_pictures, lines = [], []
    for place, mixup in enumerate(report.mixups):
        judged = report.classes[mixup.given].judged
        given, answer = (name_html(report.class_names[index], 40) for index in (mixup.given, mixup.predicted))
        text = (
            f"<b>{given}</b> taken for <b>{answer}</b>: {len(mixup.photos)} of {number_of(judged, 'photo')}"
        )
        if place >= MIXUPS_WITH_PICTURES:
            lines.append(f"<li>{text}</li>")
            continue
        rows = mixup.photos[: min(PICTURES_OF_MIXUP, budget)]
        budget -= len(rows)
        images = "".join(pictures.image(row, f"Photo {report.photos[row].file}") for row in rows)
        with_pictures.append(f'<li>{text}<div class="strip">{images}</div></li>')
    if not with_pictures:
        return ""
    rest = ""
    if lines:
        more = left_out(len(lines), MOST_MIXUPS, "mix-up")
        summary = f"<summary>{number_of(len(lines), 'rarer mix-up')}</summary>"
        rest = f"<details>{summary}<ul>{''.join(lines[:MOST_MIXUPS])}</ul>{more}</details>"
    return f'<h3>Most frequent mix-ups</h3><ul class="pairs">{"".join(with_pictures)}</ul>{rest}'


def _duplicates(report: TeachingReport, pictures: Pictures) -> str:
    groups = sorted(
        report.duplicates, key=lambda rows: (-len({report.photos[i].given for i in rows}), -len(rows))
    )
    if not groups:
        return "<p>No two photos look alike. That is good.</p>"
    budget, drawn = MOST_OF_DUPLICATES, []
    for rows in groups[:MOST_GROUPS]:
        some = rows[: min(PICTURES_OF_GROUP, budget)]
        if len(some) < 2:
            break
        budget -= len(some)
        drawn.append(_group(report, pictures, rows, some))
    photos = sum(len(rows) for rows in groups)
    return (
        f"<p>{number_of(photos, 'photo')} fall into {number_of(len(groups), 'group')} that look nearly alike: copies, "
        "bursts, or frames of one scene. They were kept together when the accuracy was judged. They do no harm, but "
        "they teach little more than one of them; photos of other scenes teach more.</p>"
        f"{folded(drawn, OPEN_GROUPS, 'groups', 'group')}{left_out(len(groups), len(drawn), 'group')}"
    )


def _group(report: TeachingReport, pictures: Pictures, rows: Sequence[int], some: Sequence[int]) -> str:
    labels = sorted({report.photos[index].given for index in rows})
    names = ", ".join(name_html(report.class_names[label], 30) for label in labels[:6])
    several = " <b>under different labels</b>" if len(labels) > 1 else ""
    cards = "".join(
        pictures.card(
            index,
            f'<span class="names">{name_html(report.class_names[report.photos[index].given], 30)}</span>',
            only_aside=len(labels) == 1,
        )
        for index in some
    )
    ticks = ",".join(f"{index}:-1" for index in some[1:])
    spoken = f"Set aside all shown photos of this group except {report.photos[some[0]].file}"
    more = f'<p class="muted">and {len(rows) - len(some)} more</p>' if len(rows) > len(some) else ""
    return (
        f'<div class="group"><h3>{len(rows)} alike{several}: {names}</h3><div class="photos">{cards}</div>'
        f'<div class="bulk" data-tick="{ticks}" data-text="Set aside all but the first" '
        f'data-spoken="{safe(spoken, 400)}"></div>{more}</div>'
    )


def _classes(report: TeachingReport, pictures: Pictures) -> str:
    ordered = sorted(
        report.classes, key=lambda one: (not one.advice, 100.0 if one.recall is None else one.recall)
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("class", "photos", "scenes", "found", "reliable", "what to photograph")
    )

    def table(rows: Sequence[ClassFacts]) -> str:
        body = "".join(_class_row(report, one) for one in rows)
        return f'<table class="classes"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    rest = ""
    if len(ordered) > OPEN_CLASSES:
        count = number_of(len(ordered) - OPEN_CLASSES, "more class", "more classes")
        rest = f"<details><summary>{count}</summary>{table(ordered[OPEN_CLASSES:])}</details>"
    return (
        "<p>Found: how many of the class's photos get its name. Reliable: how often an answer with its name is right. "
        f"Those that need the most come first.</p>{table(ordered[:OPEN_CLASSES])}{rest}"
    )


def _class_row(report: TeachingReport, one: ClassFacts) -> str:
    found = (
        "not judged"
        if one.recall is None
        else f"{percent(one.recall)} <span class=muted>({one.right}/{one.judged})</span>"
    )
    reliable = "" if one.precision is None else percent(one.precision)
    advice = " ".join(one.advice) or "Enough for now."
    return (
        f'<tr><th scope="row">{name_html(report.class_names[one.index])}</th><td data-name="photos">{one.photos}</td>'
        f'<td data-name="scenes">{one.groups}</td><td data-name="found">{found}</td>'
        f'<td data-name="reliable">{reliable}</td><td>{safe(advice, 900)}</td></tr>'
    )


def _more_photos(report: TeachingReport, pictures: Pictures) -> str:
    curve = report.curve
    if curve is None or len(curve.points) < 2:
        return "<p>There are too few photos to measure how much more of them would help.</p>"
    if curve.doubled is None:
        text = "There are too few scenes to say what twice as many photos would give."
    else:
        after = curve.doubled
        text = (
            f"With twice as many photos (about {after.photos:.0f} per class, of new scenes), it would be about "
            f"{percent(after.accuracy)}, probably between {after.interval.low:.0f} and {after.interval.high:.0f} %."
        )
    return (
        f"<p>{text}</p>{curve_svg(curve)}"
        '<p class="muted">Measured with a linear head on parts of your photos; bars are 95 % intervals. The dashed '
        "line continues the curve.</p>"
    )


def _int8(report: TeachingReport, pictures: Pictures) -> str:
    found = report.int8
    if found is None:
        return ""
    rows = (
        ("float network", found.float_top1, ""),
        (found.file, found.int8_top1, f"{found.size_bytes / 1e6:.2f} MB"),
    )
    body = "".join(
        f'<tr><th scope="row">{name_html(name)}</th><td>{top1:.1f} %</td><td>{size}</td></tr>'
        for name, top1, size in rows
    )
    return (
        "<p>The int8 file is what runs on the device.</p><table><thead><tr><th></th><th>top-1</th><th>size</th></tr>"
        f"</thead><tbody>{body}</tbody></table><p>On {number_of(found.photos, 'photo')}, the int8 file: "
        f"{safe(found.verdict, 600)}.</p>"
    )


def _unknown(report: TeachingReport, pictures: Pictures) -> str:
    found = report.unknown
    if found is None:
        return ""
    return (
        f"<p>For things that are none of your classes, the answer is “{safe(found.label)}”. Of 100 of your photos, "
        f"about {found.kept:.0f} keep a name. Of 100 photos of other things, about {found.false_alarms:.0f} get a name "
        f"all the same. Judged on {safe(found.background, 200)}.</p>"
        f'<p class="muted">Area under the ROC curve {found.auroc:.3f}: 1 tells all known things from all unknown ones, '
        "0.5 is chance.</p>"
    )


def _skipped(report: TeachingReport, pictures: Pictures) -> str:
    if not report.skipped:
        return ""
    lines = "".join(
        f"<li>{name_html(name, 80)}: {safe(reason, 300)}</li>" for name, reason in report.skipped[:MOST_LINES]
    )
    return (
        f"<details{' open' if len(report.skipped) <= 10 else ''}><summary>{number_of(len(report.skipped), 'file')} "
        f"left out</summary><ul>{lines}</ul>{left_out(len(report.skipped), MOST_LINES, 'file')}</details>"
    )


@dataclass(frozen=True)
class Section:
    """A part of the page: its id, its name in the list of parts, its heading, and what returns its HTML."""

    id: str
    name: str
    heading: str
    make: Callable[[TeachingReport, Pictures], str]


SECTIONS = (
    Section("labels", "Labels", "Labels that look wrong", _label_errors),
    Section("wrong", "Wrong answers", "Wrong answers", _wrong),
    Section("confusion", "Mix-ups", "What is taken for what", _confusion),
    Section("classes", "Classes", "What to photograph", _classes),
    Section("more", "More photos", "Would more photos help?", _more_photos),
    Section("alike", "Look-alikes", "Photos that look alike", _duplicates),
    Section("int8", "Device file", "The file for the device", _int8),
    Section("unknown", "Unknown things", "Things it does not know", _unknown),
    Section("skipped", "Left out", "Files that were left out", _skipped),
)
"""In the page's order; a part without text is left out."""

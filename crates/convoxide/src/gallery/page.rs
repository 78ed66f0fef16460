//! The page of a gallery.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use files::show::{name, one_line};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::{Card, Finding, Gallery, MOST_FAILURES};
use crate::numbers::{count, counted, percent, rough_percent};

/// The page's only script.
const SCRIPT: &str = include_str!("filter.js");
/// The styles of the training report, and those of galleries.
const STYLES: [&str; 2] = [
    include_str!("../train/report/style.css"),
    include_str!("gallery.css"),
];

/// The number of colours of boxes.
const COLOURS: usize = 12;

/// The longest side of a picture whose pixels are shown as squares.
const TINY: usize = 64;

/// The classes that occur, by name, with their numbers.
struct Classes<'a>(BTreeMap<&'a str, Class>);

struct Class {
    /// The position by name, by which the script and the styles know the class.
    index: usize,
    /// The number of pictures with it.
    pictures: usize,
}

impl Gallery {
    /// Returns the page.
    pub(super) fn html(&self) -> String {
        let title = one_line(&self.heading.title);
        let classes = Classes::of(&self.cards);
        let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
        let policy = format!(
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
             script-src 'sha256-{hash}'"
        );
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // Without it, a browser would request one from the server.
                    link rel="icon" href="data:,";
                    title { (title) }
                    @for style in STYLES { style { (PreEscaped(style)) } }
                }
                body {
                    header { h1 { (title) } (self.summary()) }
                    (self.filters(&classes))
                    main {
                        div.gallery { @for card in &self.cards { (card.html(&classes)) } }
                        @if self.failed > 0 { (self.failures()) }
                        @if !classes.0.is_empty() { (classes.table()) }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        page.into_string()
    }

    fn summary(&self) -> Markup {
        let (shown, pictures) = (self.cards.len(), self.pictures);
        html! {
            p.result {
                @if self.heading.result.is_empty() {
                    strong { (counted(pictures as u128, "picture", "pictures")) }
                    @if self.failed > 0 {
                        ", " (counted(self.failed as u128, "other", "others")) " could not be read"
                    }
                    "."
                } @else {
                    (one_line(&self.heading.result))
                }
            }
            @if shown < pictures {
                p.warning {
                    "This page shows " (count(shown as u128)) " of the "
                    (count(pictures as u128)) " pictures"
                    @if self.heading.order.is_empty() { ", the first" }
                    "."
                }
            }
            @if !self.heading.order.is_empty() { p.order { (self.heading.order) } }
        }
    }

    /// The controls, which the script reveals.
    fn filters(&self, classes: &Classes<'_>) -> Markup {
        let has_truth = self.cards.iter().any(|card| card.truth.is_some());
        html! {
            form.filters hidden {
                label {
                    "Class "
                    select name="class" {
                        option value="" { "all classes" }
                        @for (name, class) in &classes.0 {
                            option value=(class.index) { (one_line(name)) " (" (class.pictures) ")" }
                        }
                    }
                }
                label {
                    "Score at least "
                    input type="range" name="score" min="0" max="100" value="0" step="1";
                    span.least { "0\u{a0}%" }
                }
                @if has_truth {
                    label {
                        "Show "
                        select name="kind" {
                            option value="" { "right and wrong" }
                            option value="wrong" { "wrong" }
                            option value="right" { "right" }
                        }
                    }
                }
                output {}
            }
        }
    }

    fn failures(&self) -> Markup {
        html! {
            section {
                h2 { "Could not be read" }
                ul.failures {
                    @for failure in &self.failures {
                        li {
                            bdi { (name(failure.path.as_os_str())) } ": "
                            (one_line(&failure.reason))
                        }
                    }
                }
                @if self.failed > self.failures.len() {
                    p { "The first " (MOST_FAILURES) " of " (self.failed) " are listed." }
                }
            }
        }
    }
}

impl Card {
    fn html(&self, classes: &Classes<'_>) -> Markup {
        let file = one_line(&self.file);
        let [height, width] = self.size;
        let kind = self.truth.as_ref().map(|truth| match truth.is_right {
            true => "right",
            false => "wrong",
        });
        let is_tiny = width.max(height) <= TINY;
        let boxes = self.findings.iter().any(|finding| finding.bbox.is_some());
        html! {
            figure.card data-kind=[kind] {
                div.frame {
                    img .tiny[is_tiny] alt=(file) width=(width) height=(height) loading="lazy" decoding="async"
                        src={ "data:image/jpeg;base64," (BASE64_STANDARD.encode(&self.jpeg)) };
                    @if boxes {
                        svg viewBox={ "0 0 " (width) " " (height) } aria-hidden="true" {
                            // The best box is drawn last, on top of the others.
                            @for finding in self.findings.iter().rev() {
                                (finding.rectangle(classes))
                            }
                        }
                    }
                }
                figcaption {
                    p.file { bdi title=(file) { (one_line(last_parts(&self.file))) } span.size { (width) "\u{a0}×\u{a0}" (height) } }
                    @if let Some(truth) = &self.truth {
                        p.truth {
                            span class={ "mark " (kind.unwrap_or_default()) } {
                                @if truth.is_right { "right" } @else { "wrong" }
                            }
                            " true class " bdi { (one_line(&truth.class)) }
                        }
                    }
                    @if self.findings.is_empty() { p.none { "nothing found" } }
                    @else {
                        ol.findings { @for finding in &self.findings { (finding.item(classes)) } }
                    }
                    @if self.more > 0 { p.none { "and " (count(self.more as u128)) " more" } }
                }
            }
        }
    }
}

/// The last two parts of a path, which are enough to recognise a picture.
fn last_parts(path: &str) -> &str {
    let mut separators = path.rmatch_indices('/').map(|(at, _)| at);
    separators.nth(1).map_or(path, |at| &path[at + 1..])
}

impl Finding {
    fn item(&self, classes: &Classes<'_>) -> Markup {
        let index = classes.index(&self.class);
        let key = self.bbox.map(|_| format!("key c{}", index % COLOURS));
        html! {
            li data-class=(index) data-score=(self.data()) style={ "--share:" (self.data()) } {
                span.name { span class=[key] {} bdi { (one_line(&self.class)) } }
                span.score { (rough_percent(self.score)) }
            }
        }
    }

    fn rectangle(&self, classes: &Classes<'_>) -> Markup {
        let index = classes.index(&self.class);
        let place = self.bbox.filter(|bbox| {
            [bbox.x1, bbox.y1, bbox.x2, bbox.y2]
                .iter()
                .all(|side| side.is_finite())
        });
        html! {
            @if let Some(place) = place {
                rect class={ "c" (index % COLOURS) } data-class=(index) data-score=(self.data())
                    x=(place.x1) y=(place.y1)
                    width=(place.width().max(0.0)) height=(place.height().max(0.0)) {
                    title { (one_line(&self.class)) " " (percent(self.score)) }
                }
            }
        }
    }

    /// The score for the script: a plain number.
    fn data(&self) -> String {
        let score = if self.score.is_finite() {
            self.score
        } else {
            0.0
        };
        format!("{:.4}", score.clamp(0.0, 1.0))
    }
}

impl<'a> Classes<'a> {
    fn of(cards: &'a [Card]) -> Self {
        let mut classes: BTreeMap<&str, Class> = BTreeMap::new();
        for card in cards {
            let mut own: Vec<&str> = card.findings.iter().map(|found| &*found.class).collect();
            own.sort_unstable();
            own.dedup();
            for name in own {
                let class = classes.entry(name).or_insert(Class {
                    index: 0,
                    pictures: 0,
                });
                class.pictures += 1;
            }
        }
        for (index, class) in classes.values_mut().enumerate() {
            class.index = index;
        }
        Self(classes)
    }

    fn index(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, |class| class.index)
    }

    fn table(&self) -> Markup {
        html! {
            details {
                summary { "All classes on this page" }
                div.scroll tabindex="0" role="region" aria-label="Classes" {
                    table.numbers {
                        thead { tr { th.name scope="col" { "class" } th scope="col" { "pictures" } } }
                        tbody {
                            @for (name, class) in &self.0 {
                                tr {
                                    th.name scope="row" { bdi { (one_line(name)) } }
                                    td { (count(class.pictures as u128)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

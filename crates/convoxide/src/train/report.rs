//! `report.html`: the results of a training run, as one self-contained page.
//!
//! The templates are in `maud`, which escapes every text; the page's own security policy forbids
//! scripts and requests.

mod confusion;

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use files::whole_file;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::log::{Epoch, Quantity};
use crate::chart::{self, Axis, Chart, Curve, Unit};
use crate::numbers::{count, counted, duration, number, percent, short};
use confusion::{Confusion, class_name};

/// The content of a report.
pub(crate) struct Report<'a> {
    /// The architecture and the data.
    pub(crate) title: &'a str,
    /// The recipe as it was run, as TOML.
    pub(crate) recipe: &'a str,
    pub(crate) epochs: &'a [Epoch],
    /// The names of the classes, by index.
    pub(crate) classes: &'a [String],
    /// The number of pictures of each true class (row) that were predicted as each class (column).
    pub(crate) confusion: Option<&'a [Vec<u64>]>,
    /// The most confident mistakes.
    pub(crate) worst: &'a [Mistake],
    pub(crate) command: &'a str,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// The version of the program.
    pub(crate) version: &'a str,
    pub(crate) duration: Duration,
}

/// A misclassified picture.
pub(crate) struct Mistake {
    /// The bytes of a PNG file.
    pub(crate) png: Vec<u8>,
    pub(crate) truth: usize,
    pub(crate) predicted: usize,
    /// The predicted probability of the predicted class, from 0 to 1.
    pub(crate) score: f64,
    pub(crate) file: String,
}

/// A failure to write the report, with its path.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    error: files::Error,
}

impl Report<'_> {
    /// Writes the whole page or nothing.
    ///
    /// # Errors
    ///
    /// The system's errors; an older report is kept then.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let html = self.html();
        whole_file::replace(path, |file| Ok(file.write_all(html.as_bytes())?)).map_err(|error| {
            Error {
                path: path.to_owned(),
                error,
            }
        })
    }

    /// Returns the page. It has one mark of class `point` per epoch and curve, and one cell of class
    /// `cell` per pair of classes.
    pub(crate) fn html(&self) -> String {
        let title = clean(self.title);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy"
                        content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // Without it, a browser would request one from the server.
                    link rel="icon" href="data:,";
                    title { (title) }
                    style { (PreEscaped(include_str!("report/style.css"))) }
                }
                body {
                    header { h1 { (title) } (self.result()) }
                    main {
                        section.charts { (self.charts()) (self.facts()) }
                        @if let Some(rows) = self.confusion {
                            (Confusion::new(self.classes, rows).html())
                        }
                        @if !self.worst.is_empty() { (self.mistakes()) }
                        section.more { (self.table()) (self.recipe()) }
                    }
                }
            }
        };
        page.into_string()
    }

    /// The accuracies and what they are measured on: the validation pictures if there are any.
    fn accuracies(&self) -> (&'static str, Vec<Option<f64>>) {
        let epochs = self.epochs.iter();
        let valid: Vec<_> = epochs.clone().map(|epoch| epoch.valid_accuracy).collect();
        match valid.iter().any(Option::is_some) {
            true => ("validation", valid),
            false => {
                let train = epochs.map(|epoch| Some(epoch.train_accuracy));
                ("training", train.collect())
            }
        }
    }

    /// The result as a sentence.
    fn result(&self) -> Markup {
        let took = duration(self.duration);
        let Some(last) = self.epochs.last() else {
            return html! { p.result { "No epoch was finished in " (took) "." } };
        };
        let (of, accuracies) = self.accuracies();
        let measured = self.epochs.iter().zip(&accuracies);
        let measured: Vec<(usize, f64)> = measured
            .filter_map(|(epoch, accuracy)| Some((epoch.epoch, (*accuracy)?)))
            .collect();
        let finite = measured.iter().filter(|(_, accuracy)| accuracy.is_finite());
        let best = finite
            .copied()
            .reduce(|best, other| match other.1 > best.1 {
                true => other,
                false => best,
            });
        html! {
            p.result {
                @if let Some(&(epoch, accuracy)) = measured.last() {
                    @if accuracy.is_finite() {
                        strong { (percent(accuracy)) } " of the " (of) " pictures classified correctly"
                    } @else {
                        "The " (of) " accuracy is " (number(accuracy))
                    }
                    " after epoch " (epoch)
                    @if let Some((best, accuracy)) = best {
                        @if best != epoch {
                            "; at best " strong { (percent(accuracy)) } ", after epoch " (best)
                        } @else if measured.len() > 1 {
                            ", the best"
                        }
                    }
                    ". "
                }
                (counted(self.epochs.len() as u128, "epoch", "epochs")) ", "
                (counted(last.steps.into(), "step", "steps")) ", " (took) "."
            }
            @for sentence in self.warnings() { p.warning { (sentence) } }
        }
    }

    /// Sentences about values that the curves cannot show.
    fn warnings(&self) -> Vec<String> {
        let quantities: [(&str, Quantity); 6] = [
            ("training loss", |epoch| Some(epoch.train_loss)),
            ("validation loss", |epoch| epoch.valid_loss),
            ("training accuracy", |epoch| Some(epoch.train_accuracy)),
            ("validation accuracy", |epoch| epoch.valid_accuracy),
            ("top-5 accuracy", |epoch| epoch.valid_top5),
            ("learning rate", |epoch| Some(epoch.rate)),
        ];
        let mut warnings = Vec::new();
        for (name, value) in quantities {
            let mut odd = self.epochs.iter().filter_map(|epoch| {
                let value = value(epoch)?;
                (!chart::is_drawable(value)).then_some((epoch.epoch, value))
            });
            if let Some((first, value)) = odd.next() {
                let more = match odd.count() {
                    0 => String::new(),
                    more => format!(
                        " and in {}",
                        counted(more as u128, "later epoch", "later epochs")
                    ),
                };
                let value = number(value);
                warnings.push(format!(
                    "The {name} is {value} in epoch {first}{more}; its curve has a gap there."
                ));
            }
        }
        warnings
    }

    fn charts(&self) -> Markup {
        let point = |value: Quantity| move |epoch: &Epoch| (epoch.epoch, value(epoch));
        let curve = |name: &'static str, class: &'static str, value: Quantity| Curve {
            name: name.into(),
            class: class.into(),
            points: self.epochs.iter().map(point(value)).collect(),
        };
        let chart = |title, unit, curves| Chart {
            title,
            unit,
            axis: Axis::Epochs,
            curves,
        };
        let loss = vec![
            curve("training", "train", |epoch| Some(epoch.train_loss)),
            curve("validation", "valid", |epoch| epoch.valid_loss),
        ];
        let accuracy = vec![
            curve("training", "train", |epoch| Some(epoch.train_accuracy)),
            curve("validation", "valid", |epoch| epoch.valid_accuracy),
            curve("validation, top 5", "top5", |epoch| epoch.valid_top5),
        ];
        let rate = vec![curve("learning rate", "rate", |epoch| Some(epoch.rate))];
        html! {
            @if !self.epochs.is_empty() {
                (chart("Loss", Unit::Number, loss).html())
                (chart("Accuracy", Unit::Share, accuracy).html())
                (chart("Learning rate", Unit::Number, rate).html())
            }
        }
    }

    /// The command, the seed and the speed of the run.
    fn facts(&self) -> Markup {
        let trained: f64 = self.epochs.iter().map(|epoch| epoch.seconds).sum();
        let speeds = self.epochs.iter().map(|epoch| epoch.pictures_per_second);
        let mut speeds: Vec<f64> = speeds.filter(|speed| speed.is_finite()).collect();
        speeds.sort_by(f64::total_cmp);
        html! {
            div.facts {
                h3 { "The run" }
                pre.command tabindex="0" { code { (clean(self.command)) } }
                dl {
                    dt { "Seed" } dd { (self.seed) }
                    dt { "Threads" } dd { (self.threads) }
                    @if let Some(&median) = speeds.get(speeds.len() / 2) {
                        dt { "Speed" } dd { (short(median)) " pictures per second" }
                    }
                    @if trained.is_finite() && !self.epochs.is_empty() {
                        dt { "Time per epoch" } dd { (short(trained / self.epochs.len() as f64)) "\u{a0}s" }
                    }
                    dt { "Convoxide" } dd { (clean(self.version)) }
                }
            }
        }
    }

    fn mistakes(&self) -> Markup {
        html! {
            section {
                h2 { "Most confident mistakes" }
                div.mistakes {
                    @for mistake in self.worst {
                        @let truth = class_name(self.classes, mistake.truth);
                        @let predicted = class_name(self.classes, mistake.predicted);
                        figure {
                            img alt={ (truth) " predicted as " (predicted) }
                                src={ "data:image/png;base64," (BASE64_STANDARD.encode(&mistake.png)) };
                            figcaption {
                                p { strong { bdi { (truth) } } }
                                p { "predicted as " bdi { (predicted) } ", " (percent(mistake.score)) }
                                p.file { bdi { (clean(&mistake.file)) } }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The values of all epochs as a table.
    fn table(&self) -> Markup {
        let measured = |value: Option<f64>, text: fn(f64) -> String| match value {
            Some(value) => text(value),
            None => "–".to_owned(),
        };
        let columns = [
            "epoch",
            "steps",
            "rate",
            "training loss",
            "training accuracy",
            "validation loss",
            "validation accuracy",
            "top\u{a0}5",
            "seconds",
            "pictures per second",
        ];
        html! {
            details {
                summary { "All epochs as a table" }
                div.scroll tabindex="0" role="region" aria-label="Epochs" {
                    table.numbers {
                        thead { tr { @for column in columns { th scope="col" { (column) } } } }
                        tbody {
                            @for epoch in self.epochs {
                                tr {
                                    th scope="row" { (epoch.epoch) }
                                    td { (count(epoch.steps.into())) }
                                    td { (short(epoch.rate)) }
                                    td { (number(epoch.train_loss)) }
                                    td { (percent(epoch.train_accuracy)) }
                                    td { (measured(epoch.valid_loss, number)) }
                                    td { (measured(epoch.valid_accuracy, percent)) }
                                    td { (measured(epoch.valid_top5, percent)) }
                                    td { (short(epoch.seconds)) }
                                    td { (short(epoch.pictures_per_second)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn recipe(&self) -> Markup {
        html! {
            details {
                summary { "The recipe as it was run" }
                pre tabindex="0" { code { (clean(self.recipe)) } }
            }
        }
    }
}

/// Escapes control characters, which HTML does not allow; line breaks and tabs stay.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => cleaned.push(c),
            '\r' => {}
            _ if c.is_control() => cleaned.extend(c.escape_default()),
            _ => cleaned.push(c),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests;

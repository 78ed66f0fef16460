//! The confusion matrix, the measures of each class, and the most frequent mistakes.

use maud::{Markup, html};

use super::clean;
use crate::numbers::{count, counted, percent, rough_percent};

/// Counts of pictures by true class (row) and predicted class (column).
pub(super) struct Confusion {
    names: Vec<String>,
    /// Row by row.
    counts: Vec<u64>,
    /// The sum of each row.
    truths: Vec<u128>,
    /// The sum of each column.
    predicted: Vec<u128>,
}

/// With more classes, the matrix has more cells than a browser can handle.
const MOST_CLASSES: usize = 256;

/// Above this, cells are too small for numbers.
const MOST_WITH_NUMBERS: usize = 24;

/// The number of most frequent mistakes that are listed.
const MOST_PAIRS: usize = 12;

impl Confusion {
    /// Missing cells are 0, and classes may lack names.
    pub(super) fn new(classes: &[String], rows: &[Vec<u64>]) -> Self {
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let size = classes.len().max(rows.len()).max(longest);
        let mut confusion = Self {
            names: (0..size).map(|class| class_name(classes, class)).collect(),
            counts: Vec::new(),
            truths: vec![0; size],
            predicted: vec![0; size],
        };
        for truth in 0..size {
            let row = rows.get(truth).map_or(&[][..], Vec::as_slice);
            for predicted in 0..size {
                let count = row.get(predicted).copied().unwrap_or(0);
                confusion.counts.push(count);
                confusion.truths[truth] += u128::from(count);
                confusion.predicted[predicted] += u128::from(count);
            }
        }
        confusion
    }

    fn size(&self) -> usize {
        self.names.len()
    }

    fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.size() + predicted]
    }

    /// Returns the matrix and the tables below it.
    pub(super) fn html(&self) -> Markup {
        let total: u128 = self.truths.iter().sum();
        let pictures = counted(total, "picture", "pictures");
        html! {
            section {
                h2 { "Confusion matrix" }
                @if self.size() > MOST_CLASSES {
                    p {
                        (pictures) ". The matrix of " (self.size()) " classes is omitted: above "
                        (MOST_CLASSES) " classes it is too large for a page."
                    }
                } @else {
                    p {
                        (pictures) ". Rows are true classes, columns are predictions. The stronger the "
                        "colour, the larger the share of the row: "
                        span.key-to-cells { span.swatch.right {} " correct" } ", "
                        span.key-to-cells { span.swatch.wrong {} " wrong" } "."
                    }
                    (self.matrix())
                }
            }
            div.beside {
                section { h2 { "Results by class" } (self.per_class()) }
                section { h2 { "Most frequent mistakes" } (self.pairs()) }
            }
        }
    }

    fn matrix(&self) -> Markup {
        let is_dense = self.size() > MOST_WITH_NUMBERS;
        html! {
            div.scroll tabindex="0" role="region" aria-label="Confusion matrix" {
                table.matrix .dense[is_dense] {
                    thead {
                        tr {
                            td {}
                            @for name in &self.names {
                                th scope="col" title=(name) { span { (name) } }
                            }
                        }
                    }
                    tbody {
                        @for (truth, name) in self.names.iter().enumerate() {
                            tr {
                                th scope="row" title=(name) { span { (name) } }
                                @for predicted in 0..self.size() {
                                    (self.cell(truth, predicted))
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn cell(&self, truth: usize, predicted: usize) -> Markup {
        let count = self.count(truth, predicted);
        let is_right = truth == predicted;
        if count == 0 {
            return html! { td class="cell" data-right[is_right] {} };
        }
        let share = count as f64 / self.truths[truth] as f64;
        // The square root makes rare mistakes visible.
        let shade = (100.0 * share.sqrt()).round() / 100.0;
        let (truth, all) = (&self.names[truth], self.truths[truth]);
        let predicted = &self.names[predicted];
        let words = if is_right { "correct" } else { "predicted as " };
        html! {
            td class="cell" data-right[is_right] style={ "--share:" (shade) }
                title={
                    (truth) ", " (words) @if !is_right { (predicted) } ": " (count) " of " (all)
                    " (" (percent(share)) ")"
                } { (count) }
        }
    }

    /// A table of the precision, recall and F1 of each class, the lowest F1 first.
    fn per_class(&self) -> Markup {
        let mut classes: Vec<Class> = (0..self.size()).map(|class| self.class(class)).collect();
        // Classes without pictures have no F1 and come last.
        let key = |class: &Class| class.f1.unwrap_or(f64::INFINITY);
        classes.sort_by(|a, b| key(a).total_cmp(&key(b)));
        let mean = |value: fn(&Class) -> Option<f64>| {
            let values: Vec<f64> = classes.iter().filter_map(value).collect();
            match values.len() {
                0 => None,
                count => Some(values.iter().sum::<f64>() / count as f64),
            }
        };
        html! {
            div.scroll tabindex="0" role="region" aria-label="Precision, recall and F1" {
                table.numbers {
                    thead {
                        tr {
                            th.name scope="col" { "class" }
                            th scope="col" { "pictures" }
                            th scope="col" title="of the pictures predicted as this class, the share that belong to it" {
                                "precision"
                            }
                            th scope="col" title="of the pictures of this class, the share predicted as it" {
                                "recall"
                            }
                            th scope="col" title="harmonic mean of precision and recall" { "F1" }
                        }
                    }
                    tbody {
                        @for class in &classes {
                            tr {
                                th.name scope="row" { bdi { (self.names[class.index]) } }
                                td { (count(self.truths[class.index])) }
                                td { (share(class.precision)) }
                                td { (share(class.recall)) }
                                td { (share(class.f1)) }
                            }
                        }
                    }
                    tfoot {
                        tr {
                            th.name scope="row" { "mean" }
                            td {}
                            td { (share(mean(|class| class.precision))) }
                            td { (share(mean(|class| class.recall))) }
                            td { (share(mean(|class| class.f1))) }
                        }
                    }
                }
            }
        }
    }

    fn class(&self, index: usize) -> Class {
        let right = self.count(index, index) as f64;
        let (truths, predicted) = (self.truths[index] as f64, self.predicted[index] as f64);
        let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        Class {
            index,
            precision: ratio(right, predicted),
            recall: ratio(right, truths),
            f1: ratio(2.0 * right, truths + predicted),
        }
    }

    fn pairs(&self) -> Markup {
        let size = self.size();
        let mut pairs: Vec<(usize, usize, u64)> = (0..size)
            .flat_map(|truth| (0..size).map(move |predicted| (truth, predicted)))
            .map(|(truth, predicted)| (truth, predicted, self.count(truth, predicted)))
            .filter(|&(truth, predicted, count)| truth != predicted && count > 0)
            .collect();
        // The sort is stable: equal counts stay in the order of the classes.
        pairs.sort_by_key(|&(.., count)| std::cmp::Reverse(count));
        pairs.truncate(MOST_PAIRS);
        html! {
            @if pairs.is_empty() {
                p.none { "There are none." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Most frequent mistakes" {
                    table.numbers {
                        thead {
                            tr {
                                th.name scope="col" { "true class" }
                                th.name scope="col" { "prediction" }
                                th scope="col" { "pictures" }
                                th scope="col" title="of the pictures of the true class" { "share" }
                            }
                        }
                        tbody {
                            @for (truth, predicted, number) in pairs {
                                tr {
                                    th.name scope="row" { bdi { (self.names[truth]) } }
                                    td.name { bdi { (self.names[predicted]) } }
                                    td { (count(number.into())) }
                                    td { (rough_percent(number as f64 / self.truths[truth] as f64)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The measures of one class; `None` where the denominator is 0.
struct Class {
    index: usize,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
}

fn share(share: Option<f64>) -> String {
    share.map_or("–".to_owned(), rough_percent)
}

/// Returns the name of a class, or its number if it has none.
pub(super) fn class_name(classes: &[String], class: usize) -> String {
    match classes.get(class) {
        Some(name) if !name.trim().is_empty() => clean(name),
        _ => format!("class {class}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Confusion {
        let classes = ["cat", "dog", "owl"].map(str::to_owned);
        Confusion::new(&classes, &[vec![6, 2, 0], vec![1, 3, 0], vec![0, 0, 0]])
    }

    #[test]
    fn precision_recall_and_f1_are_those_computed_by_hand() {
        let confusion = three();
        let cat = confusion.class(0);
        assert_eq!(cat.precision, Some(6.0 / 7.0));
        assert_eq!(cat.recall, Some(0.75));
        assert_eq!(cat.f1, Some(12.0 / 15.0));
        let dog = confusion.class(1);
        assert_eq!(dog.precision, Some(0.6));
        assert_eq!(dog.recall, Some(0.75));
        assert_eq!(dog.f1, Some(6.0 / 9.0));
        let owl = confusion.class(2);
        assert_eq!((owl.precision, owl.recall, owl.f1), (None, None, None));
    }

    #[test]
    fn the_worst_class_is_first_and_one_without_pictures_last() {
        let html = three().per_class().into_string();
        let at = |name: &str| html.find(&format!("<bdi>{name}</bdi>")).unwrap();
        assert!(at("dog") < at("cat") && at("cat") < at("owl"), "{html}");
    }

    #[test]
    fn mistakes_are_ordered_by_count() {
        let html = three().pairs().into_string();
        let rows: Vec<&str> = html.split("<tr>").skip(2).collect();
        assert_eq!(rows.len(), 2, "{html}");
        assert!(rows[0].contains("cat") && rows[0].contains("<td>2</td>"));
        assert!(rows[0].contains("25.0\u{a0}%"), "{}", rows[0]);
        assert!(rows[1].contains("dog") && rows[1].contains("<td>1</td>"));
    }

    #[test]
    fn short_rows_are_padded_and_sums_do_not_overflow() {
        let confusion = Confusion::new(&[], &[vec![u64::MAX, u64::MAX], vec![], vec![1]]);
        assert_eq!(confusion.size(), 3);
        assert_eq!(confusion.truths[0], 2 * u128::from(u64::MAX));
        let html = confusion.html().into_string();
        assert_eq!(html.matches(r#"class="cell""#).count(), 9);
        assert!(html.contains("class 2"), "{html}");
    }

    #[test]
    fn a_matrix_that_is_too_large_is_omitted_with_a_note() {
        let many = MOST_CLASSES + 1;
        let html = Confusion::new(&[], &vec![vec![1; many]; many])
            .html()
            .into_string();
        assert!(!html.contains(r#"class="cell""#));
        assert!(html.contains("257 classes is omitted"));
    }
}

//! Tests of the whole page: counts of its elements, and hostile texts.

use proptest::prelude::*;

use super::*;
use crate::train::log::tests::epoch;

fn report<'a>(epochs: &'a [Epoch], classes: &'a [String]) -> Report<'a> {
    Report {
        title: "ResNet-20 on CIFAR-10",
        recipe: "epochs = 30\n",
        epochs,
        classes,
        confusion: None,
        worst: &[],
        command: "convoxide train recipe.toml",
        seed: 1,
        threads: 2,
        version: "0.1.0",
        duration: Duration::from_secs(724),
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("name {class}")).collect()
}

fn count_of(html: &str, what: &str) -> usize {
    html.matches(what).count()
}

const POINT: &str = r#"class="point""#;
const CELL: &str = r#"class="cell""#;

/// The header of the page, without tags.
fn head_in_words(html: &str) -> String {
    let head = html.split("<header>").nth(1).unwrap();
    let head = head.split("</header>").next().unwrap();
    let mut is_tag = false;
    let text = head.chars().filter(|&c| {
        let was_tag = is_tag;
        is_tag = c == '<' || is_tag && c != '>';
        !is_tag && !was_tag
    });
    text.collect::<String>().replace('\u{a0}', " ")
}

#[test]
fn each_epoch_is_a_point_of_each_curve() {
    let epochs: Vec<Epoch> = (1..=30).map(epoch).collect();
    let html = report(&epochs, &[]).html();
    // Loss and accuracy, each in training and validation, and the rate.
    assert_eq!(count_of(&html, POINT), 5 * 30);
    assert_eq!(count_of(&html, "<g class=\"curve "), 5);
    assert_eq!(count_of(&html, CELL), 0);

    let top5: Vec<Epoch> = epochs
        .into_iter()
        .map(|epoch| Epoch {
            valid_top5: Some(0.99),
            ..epoch
        })
        .collect();
    let html = report(&top5, &[]).html();
    assert_eq!(count_of(&html, POINT), 6 * 30);
}

#[test]
fn each_pair_of_classes_is_a_cell() {
    for size in [0, 1, 2, 10, 100] {
        let classes = names(size);
        let rows: Vec<Vec<u64>> = (0..size)
            .map(|truth| (0..size).map(|p| u64::from(truth == p) * 9).collect())
            .collect();
        let mut report = report(&[], &classes);
        report.confusion = Some(&rows);
        let html = report.html();
        assert_eq!(count_of(&html, CELL), size * size);
        assert_eq!(count_of(&html, r#"class="cell" data-right"#), size);
        assert_eq!(count_of(&html, "<bdi>name "), size);
    }
}

#[test]
fn the_header_has_the_best_and_the_last_accuracy() {
    let with = |accuracies: &[Option<f64>]| {
        let epochs: Vec<Epoch> = accuracies
            .iter()
            .enumerate()
            .map(|(index, &valid_accuracy)| Epoch {
                valid_accuracy,
                ..epoch(index + 1)
            })
            .collect();
        head_in_words(&report(&epochs, &[]).html())
    };
    let head = with(&[Some(0.5), Some(0.916), Some(0.911)]);
    assert!(
        head.contains(
            "91.10 % of the validation pictures classified correctly after epoch 3; \
             at best 91.60 %, after epoch 2. 3 epochs, 1,170 steps, 12 min 4 s."
        ),
        "{head}"
    );
    let head = with(&[Some(0.5), Some(0.6), None]);
    assert!(head.contains("after epoch 2, the best. 3 epochs"), "{head}");
    let head = with(&[Some(f64::NAN), Some(f64::NAN)]);
    assert!(
        head.contains("The validation accuracy is not a number after epoch 2."),
        "{head}"
    );
    assert!(!head.contains("best"), "{head}");
    let head = with(&[None]);
    assert!(
        head.contains(
            "50.00 % of the training pictures classified correctly after epoch 1. 1 epoch,"
        ),
        "{head}"
    );
}

#[test]
fn without_an_epoch_the_page_says_so() {
    let html = report(&[], &[]).html();
    let head = head_in_words(&html);
    assert!(
        head.contains("No epoch was finished in 12 min 4 s."),
        "{head}"
    );
    assert_eq!(count_of(&html, POINT), 0);
    assert_eq!(count_of(&html, "<svg"), 0);
}

#[test]
fn values_that_are_not_finite_are_reported_and_not_drawn() {
    let mut epochs: Vec<Epoch> = (1..=4).map(epoch).collect();
    epochs[1].train_loss = f64::NAN;
    epochs[2].train_loss = f64::NAN;
    epochs[3].valid_loss = Some(f64::INFINITY);
    let html = report(&epochs, &[]).html();
    assert_eq!(count_of(&html, POINT), 5 * 4 - 3);
    let head = head_in_words(&html);
    assert!(
        head.contains(
            "The training loss is not a number in epoch 2 and in 1 later epoch; \
             its curve has a gap there."
        ),
        "{head}"
    );
    assert!(
        head.contains("The validation loss is infinite in epoch 4;"),
        "{head}"
    );
    assert_eq!(count_of(&html, "<td>not a number</td>"), 2);
    assert_eq!(count_of(&html, "<td>infinite</td>"), 1);
}

#[test]
fn hostile_texts_are_escaped() {
    let evil = "</title></style></pre></td>\"'><script>alert(1)</script>\u{0}&amp;";
    let classes = [evil.to_owned(), "b".to_owned()];
    let worst = [Mistake {
        png: vec![1, 2, 3],
        truth: 0,
        predicted: 7,
        score: 0.983,
        file: evil.to_owned(),
    }];
    let report = Report {
        title: evil,
        recipe: evil,
        confusion: Some(&[vec![3, 1], vec![0, 2]]),
        worst: &worst,
        command: evil,
        version: evil,
        ..report(&[], &classes)
    };
    let html = report.html();
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("\"'>"), "{html}");
    assert!(!html.contains('\u{0}'), "{html}");
    let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;\\u{0}&amp;amp;";
    assert!(count_of(&html, escaped) >= 8, "{html}");
    assert_eq!(count_of(&html, "</style>"), 1);
    assert_eq!(count_of(&html, CELL), 4);
    assert!(html.contains(r#"src="data:image/png;base64,AQID""#));
    assert!(html.contains("<bdi>class 7</bdi>, 98.30\u{a0}%"), "{html}");
}

#[test]
fn the_page_has_no_external_references() {
    let epochs = [epoch(1), epoch(2)];
    let classes = names(2);
    let rows = [vec![3, 1], vec![0, 2]];
    let mut report = report(&epochs, &classes);
    report.confusion = Some(&rows);
    let html = report.html();
    for outside in ["://", "url(", "@import", "<script", "src=\"/", "href=\"/"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn the_page_is_written_and_an_error_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let report = report(&[], &[]);
    report.write(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report.html());
    let error = report.write(&folder.path().join("no/report.html"));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("report.html: "), "{message}");
}

/// Numbers of every kind, unusual ones often.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        0.0..1.0,
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(0.0),
    ]
}

fn any_epoch() -> impl Strategy<Value = Epoch> {
    let measured = || proptest::option::of(any_number());
    let losses = (any_number(), any_number(), any_number());
    let valid = (measured(), measured(), measured());
    let rest = (any::<usize>(), any::<u64>(), any_number(), any_number());
    (losses, valid, rest).prop_map(|(losses, valid, rest)| Epoch {
        epoch: rest.0,
        steps: rest.1,
        weights: None,
        rate: losses.0,
        train_loss: losses.1,
        train_accuracy: losses.2,
        valid_loss: valid.0,
        valid_accuracy: valid.1,
        valid_top5: valid.2,
        seconds: rest.2,
        pictures_per_second: rest.3,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_epochs_make_a_page_with_a_point_for_each_number(
        epochs in proptest::collection::vec(any_epoch(), 0..6),
    ) {
        let html = report(&epochs, &[]).html();
        let values = epochs.iter().flat_map(|epoch| {
            let always = [epoch.rate, epoch.train_loss, epoch.train_accuracy].map(Some);
            let maybe = [epoch.valid_loss, epoch.valid_accuracy, epoch.valid_top5];
            always.into_iter().chain(maybe).flatten()
        });
        let drawable = values.filter(|value| value.abs() < 1e100).count();
        prop_assert_eq!(count_of(&html, POINT), drawable);
        prop_assert!(!html.contains("NaN"));
        for place in ["x1", "y1", "cx", "cy", "x", "y", "r"] {
            for attribute in html.split(&format!(" {place}=\"")).skip(1) {
                let number: f64 = attribute.split('"').next().unwrap().parse().unwrap();
                prop_assert!((0.0..=400.0).contains(&number), "{} {}", place, number);
            }
        }
    }
}

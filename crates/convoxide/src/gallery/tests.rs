//! Pages with hostile names, and their bounds.

use base64::prelude::{BASE64_STANDARD, Engine};
use sha2::{Digest, Sha256};

use super::*;

fn picture() -> Picture {
    Picture::from_rgb(40, 30, 120, &[120; 3600]).unwrap()
}

fn finding(class: &str, score: f64) -> Finding {
    Finding {
        class: class.to_owned(),
        score,
        bbox: None,
    }
}

fn gallery() -> Gallery {
    let heading = Heading {
        title: "Results".to_owned(),
        ..Heading::default()
    };
    Gallery::new(Some("page.html".into()), heading)
        .unwrap()
        .unwrap()
}

/// Texts that would end their element or attribute, start a script or turn the direction of the text.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\" onerror=\"alert(1)",
    "' onload='alert(1)",
    "</style><img src=x onerror=alert(1)>",
    "a\u{202e}gnp.exe\u{0}\u{1b}[2J",
    "]]>&lt;--!><!--",
];

#[test]
fn hostile_names_stay_texts() {
    let mut gallery = gallery();
    gallery.heading.title = HOSTILE.concat();
    gallery.heading.result = HOSTILE.concat();
    for name in HOSTILE {
        let truth = Truth {
            class: name.to_owned(),
            is_right: false,
        };
        let mut boxed = finding(name, 0.5);
        boxed.bbox = Some(BBox::from_xyxy(1.0, 2.0, 3.0, 4.0));
        let findings = vec![finding(name, 0.25), boxed];
        gallery
            .add(name.to_owned(), &picture(), Some(truth), findings)
            .unwrap();
        gallery.fail(&Failure::new(Path::new(name), &name));
    }
    let html = gallery.html();
    // Only the page's own script.
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert_eq!(html.matches("</script").count(), 1);
    // No attribute of an event: wherever the names occur, their quotes are escaped.
    for forbidden in [
        "\" onerror",
        "<img src=x",
        "</style><img",
        "<!--",
        "\u{202e}",
        "\0",
        "\u{1b}",
    ] {
        assert!(!html.contains(forbidden), "{forbidden:?}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(html.contains("&quot; onerror=&quot;alert(1)"));
    // Nothing is requested from anywhere.
    for address in ["http:", "https:", "//"] {
        let own = html.replace(include_str!("filter.js"), "");
        let outside = own.split("base64,").map(|part| match part.split_once('"') {
            // The bytes of a picture may contain anything of their alphabet.
            Some((bytes, rest)) if bytes.len() > 100 => rest,
            _ => part,
        });
        for part in outside {
            assert!(!part.contains(address), "{address}");
        }
    }
}

#[test]
fn the_policy_allows_the_own_script_alone() {
    let html = gallery().html();
    let (_, policy) = html
        .split_once("Content-Security-Policy\" content=\"")
        .unwrap();
    let (policy, _) = policy.split_once('"').unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let (_, script) = html.split_once("<script>").unwrap();
    let (script, _) = script.split_once("</script>").unwrap();
    // The hash is that of the text between the tags, which is not escaped.
    let hash = BASE64_STANDARD.encode(Sha256::digest(script));
    assert!(
        policy.contains(&format!("script-src 'sha256-{hash}'")),
        "{policy}"
    );
}

#[test]
fn pictures_results_and_failures_are_bounded_and_the_page_says_so() {
    let mut gallery = gallery();
    let many: Vec<Finding> = (0..MOST_FINDINGS + 7)
        .map(|i| finding(&format!("c{i}"), 0.5))
        .collect();
    for index in 0..MOST_PICTURES + 3 {
        let findings = if index == 0 { many.clone() } else { Vec::new() };
        gallery
            .add(format!("{index}.png"), &picture(), None, findings)
            .unwrap();
    }
    for _ in 0..=MOST_FAILURES {
        gallery.fail(&Failure::new(Path::new("x.png"), &"broken"));
    }
    let html = gallery.html();
    assert_eq!(html.matches("<figure").count(), MOST_PICTURES);
    assert!(html.contains("This page shows 500 of the 503 pictures, the first."));
    assert!(html.contains("and 7 more"));
    assert_eq!(html.matches("<li data-class").count(), MOST_FINDINGS);
    assert!(html.contains("The first 100 of 101 are listed."));
    assert!(html.contains("nothing found"));
}

#[test]
fn what_is_not_finite_is_drawn_nowhere() {
    let mut gallery = gallery();
    let mut odd = finding("odd", f64::NAN);
    odd.bbox = Some(BBox::from_xyxy(f32::NAN, 0.0, f32::INFINITY, 1.0));
    gallery
        .add("a.png".to_owned(), &picture(), None, vec![odd])
        .unwrap();
    let html = gallery.html();
    assert!(!html.contains("<rect"));
    assert!(html.contains("data-score=\"0.0000\""));
}

#[test]
fn the_page_is_written_whole_or_refused_by_its_suffix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let gallery = Gallery::new(Some(path.clone()), Heading::default())
        .unwrap()
        .unwrap();
    gallery.write().unwrap();
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .starts_with("<!DOCTYPE html>")
    );
    let error = Gallery::check(Some(Path::new("page.png"))).unwrap_err();
    assert!(matches!(error, Error::Suffix { .. }), "{error}");
    assert!(Gallery::new(None, Heading::default()).unwrap().is_none());
}

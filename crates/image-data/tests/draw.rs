//! What drawing changes, and what it leaves unchanged.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use image_data::{BBox, DrawnBox, Picture, draw_boxes};
use proptest::prelude::*;

fn grey(width: usize, height: usize) -> Picture {
    Picture::from_rgb(width, height, 3 * width, &vec![100; 3 * width * height]).unwrap()
}

fn label(x1: f32, y1: f32, x2: f32, y2: f32, text: &str, color_index: usize) -> DrawnBox {
    DrawnBox {
        bbox: BBox::from_xyxy(x1, y1, x2, y2),
        text: text.to_owned(),
        color_index,
    }
}

fn pixel(picture: &Picture, x: usize, y: usize) -> &[u8] {
    &picture.rgb()[3 * (y * picture.width() + x)..][..3]
}

/// Returns the smallest rectangle around all changes: `[left, top, right, bottom]`, inclusive.
fn changed(before: &Picture, after: &Picture) -> Option<[usize; 4]> {
    let mut around = None;
    for y in 0..before.height() {
        for x in 0..before.width() {
            if pixel(before, x, y) != pixel(after, x, y) {
                let [l, t, r, b] = around.unwrap_or([x, y, x, y]);
                around = Some([l.min(x), t.min(y), r.max(x), b.max(y)]);
            }
        }
    }
    around
}

#[test]
fn a_box_is_a_line_along_its_edge() {
    let before = grey(100, 80);
    let after = draw_boxes(&before, &[label(10.0, 20.0, 60.0, 50.0, "", 0)]).unwrap();
    assert_eq!(changed(&before, &after), Some([10, 20, 59, 49]));
    let line = pixel(&after, 10, 20);
    assert_ne!(line, pixel(&before, 10, 20));
    for (x, y) in [
        (59, 20),
        (10, 49),
        (59, 49),
        (30, 20),
        (30, 49),
        (10, 30),
        (59, 30),
    ] {
        assert_eq!(pixel(&after, x, y), line, "{x} {y}");
    }
    assert_eq!(pixel(&after, 11, 21), pixel(&before, 11, 21));
    assert_eq!(pixel(&after, 58, 48), pixel(&before, 58, 48));
}

#[test]
fn lines_and_letters_grow_with_the_picture() {
    let extent = |width: usize| {
        let scale = width as f32 / 400.0;
        let before = grey(width, width);
        let line = draw_boxes(
            &before,
            &[label(
                100.0 * scale,
                200.0 * scale,
                300.0 * scale,
                300.0 * scale,
                "",
                0,
            )],
        )
        .unwrap();
        let middle = width / 2;
        let thickness = (0..middle).filter(|&x| {
            let y = (250.0 * scale) as usize;
            pixel(&line, x, y) != pixel(&before, x, y)
        });
        let text = draw_boxes(
            &before,
            &[label(
                100.0 * scale,
                200.0 * scale,
                300.0 * scale,
                300.0 * scale,
                "dog",
                0,
            )],
        )
        .unwrap();
        let [_, top, ..] = changed(&before, &text).unwrap();
        let letters = (200.0 * scale) as usize - top;
        (thickness.count(), letters)
    };
    assert_eq!(extent(400).0, 2);
    assert_eq!(extent(1600).0, 7);
    assert!(extent(1600).1 >= 3 * extent(400).1);
}

#[test]
fn labels_stay_inside_and_out_of_each_others_way() {
    let before = grey(200, 100);
    // In each corner, with text that may be wider than the picture.
    for (x, y) in [(0.0, 0.0), (190.0, 0.0), (0.0, 90.0), (190.0, 90.0)] {
        for text in ["a", "a longer name 0.99", &"W".repeat(500)] {
            let plain = draw_boxes(&before, &[label(x, y, x + 9.0, y + 9.0, "", 3)]).unwrap();
            let after = draw_boxes(&before, &[label(x, y, x + 9.0, y + 9.0, text, 3)]).unwrap();
            assert_ne!(after, plain, "{x} {y} {text}");
        }
    }
    // Two labels of one box: each has its background, one above the box and one inside.
    let twice = [
        label(50.0, 40.0, 150.0, 90.0, "one", 0),
        label(50.0, 40.0, 150.0, 90.0, "two", 1),
    ];
    let after = draw_boxes(&before, &twice).unwrap();
    let color = |index: usize| {
        let alone = draw_boxes(&before, &[label(0.0, 0.0, 9.0, 9.0, "", index)]).unwrap();
        pixel(&alone, 0, 0).to_vec()
    };
    let count = |index: usize| {
        let color = color(index);
        (52..60)
            .flat_map(|x| (20..60).map(move |y| (x, y)))
            .filter(|&(x, y)| pixel(&after, x, y) == color)
            .count()
    };
    assert!(count(0) > 50, "{}", count(0));
    assert!(count(1) > 50, "{}", count(1));
}

#[test]
fn text_differs_by_letter_and_control_characters_are_spaces() {
    let draw = |text: &str| {
        draw_boxes(&grey(300, 100), &[label(5.0, 40.0, 290.0, 90.0, text, 2)]).unwrap()
    };
    assert_ne!(draw("dog"), draw("cog"));
    assert_ne!(draw("Щ Ω é"), draw("? ? ?"));
    assert_eq!(draw("a\nb\tc"), draw("a b c"));
}

#[test]
fn what_is_outside_or_no_box_is_not_drawn() {
    let before = grey(60, 40);
    for bbox in [
        BBox::from_xyxy(70.0, 5.0, 90.0, 20.0),
        BBox::from_xyxy(-20.0, 5.0, -10.0, 20.0),
        BBox::from_xyxy(5.0, 41.0, 20.0, 60.0),
        BBox::from_xyxy(20.0, 5.0, 10.0, 20.0),
        BBox::from_xyxy(f32::NAN, 5.0, 10.0, 20.0),
        BBox::from_xyxy(1.0, 5.0, 10.0, f32::NAN),
    ] {
        let after = draw_boxes(
            &before,
            &[DrawnBox {
                bbox,
                text: "nothing".to_owned(),
                color_index: 0,
            }],
        );
        assert_eq!(after.unwrap(), before, "{bbox:?}");
    }
    assert_eq!(draw_boxes(&before, &[]).unwrap(), before);
}

#[test]
fn the_first_label_is_on_top() {
    let before = grey(60, 40);
    let [first, second] = [
        label(5.0, 5.0, 50.0, 30.0, "", 0),
        label(5.0, 5.0, 50.0, 30.0, "", 1),
    ];
    let both = draw_boxes(&before, &[first.clone(), second.clone()]).unwrap();
    assert_eq!(both, draw_boxes(&before, &[first]).unwrap());
    assert_ne!(both, draw_boxes(&before, &[second]).unwrap());
}

proptest! {
    #[test]
    fn any_box_and_text_on_any_picture(
        width in 1usize..90,
        height in 1usize..90,
        labels in prop::collection::vec(
            (prop::array::uniform4(prop_oneof![any::<f32>(), -20.0f32..110.0]), ".{0,30}", any::<usize>()),
            0..6,
        ),
    ) {
        let labels: Vec<DrawnBox> = labels
            .into_iter()
            .map(|([x1, y1, x2, y2], text, color)| label(x1, y1, x2, y2, &text, color))
            .collect();
        let before = grey(width, height);
        let after = draw_boxes(&before, &labels).unwrap();
        prop_assert_eq!(after.size(), before.size());
    }
}

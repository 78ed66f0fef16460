//! The example `summary`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

#[path = "../examples/summary.rs"]
mod summary;

#[test]
fn the_table_has_the_cost_and_the_drawing_has_the_shortcut() {
    let mut out = Vec::new();
    summary::describe(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let (table, drawing) = out.split_at(out.find("flowchart").unwrap());

    // 3·16·9, 16·16·9 and 16·16·9 + 16 of the convolutions, 2·16 of each of two normalisations, and
    // 16·10 + 10 of the dense layer.
    let parameters = 432 + 2304 + 2320 + 64 + 170;
    assert_eq!(parameters, 5290);
    assert!(table.contains("5,290"), "{table}");
    assert!(table.contains("block.layer2"), "{table}");
    assert!(table.contains("1x16x32x32"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80));
    // The block reads the pool's output twice: in its branch and in its shortcut.
    let pool = drawing.lines().find(|line| line.contains("pool")).unwrap();
    let id = pool
        .trim()
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap();
    let arrows = drawing.matches(&format!("{id} --> ")).count();
    assert_eq!(arrows, 2, "{drawing}");
}

//! The committed figures are those that the example draws.

use std::path::Path;

#[expect(dead_code, reason = "`main` is for the example")]
#[path = "../examples/figures/main.rs"]
mod figures;

#[test]
fn the_committed_figures_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images");
    for (name, drawn) in figures::all().unwrap() {
        let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            committed.replace("\r\n", "\n") == drawn,
            "docs/images/{name} is not what the program draws: run `cargo xtask figures`"
        );
    }
}

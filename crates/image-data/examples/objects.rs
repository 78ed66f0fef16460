//! Prints the contents of a dataset with boxes, and the faults of its labels.
//!
//! ```sh
//! cargo run --release -p image-data --example objects -- DATASET
//! ```

use image_data::{AnnotationOptions, Splits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("expected a dataset")?;
    let splits = Splits::survey_annotated(path, &AnnotationOptions::default())?;
    println!("{}", splits.contents);
    for fault in &splits.contents.labels {
        println!("{}: {fault}", fault.severity());
    }
    for (class, count) in &splits.contents.parts[0].classes {
        println!("{class}: {count}");
    }
    Ok(())
}

//! The plot of a record, as SVG: each peer's time divided by ours, a group of bars for each network.

use std::fmt::Write as _;

use super::measure::Comparison;
use super::networks::NETWORKS;
use super::record::Record;

const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #1d1f23; } \
    .paper { fill: #fff; } .title { font-size: 15px; font-weight: 600; } .small { font-size: 11px; } \
    .grid { stroke: #e3e4e6; } .one { stroke: #1d1f23; } .range { stroke: #1d1f23; stroke-opacity: .7; } \
    .up { text-anchor: end; } .across { text-anchor: middle; fill: #646a73; }";

/// One per peer, in the order of their first appearance.
const COLOURS: [&str; 8] = [
    "#2563c8", "#d9480f", "#0f8a5f", "#8b3fc7", "#a67c00", "#d1357f", "#0891a8", "#5f6672",
];

const WIDTH: f64 = 720.0;
/// The room for the names of networks and for the right edge.
const LEFT: f64 = 120.0;
const RIGHT: f64 = 30.0;
/// The room for the title and the key.
const TOP: f64 = 76.0;
const BAR: f64 = 9.0;
const GAP: f64 = 10.0;
/// The end of the axis at most. Longer bars are cut, and have their ratio beside them.
const END: f64 = 4.0;

/// The plot of the smallest batch on the most threads; `None` for a record without networks.
pub(crate) fn svg(record: &Record) -> Option<String> {
    let all = record.comparisons.iter().filter(|of| of.layer.is_none());
    let setting = all
        .clone()
        .map(|of| (of.batch, std::cmp::Reverse(of.threads)))
        .min()?;
    let shown: Vec<&Comparison> = all
        .filter(|of| (of.batch, std::cmp::Reverse(of.threads)) == setting)
        .collect();
    let mut peers: Vec<&str> = Vec::new();
    for comparison in &shown {
        if !peers.contains(&comparison.theirs.name.as_str()) {
            peers.push(&comparison.theirs.name);
        }
    }
    let most = shown.iter().map(|of| of.ratio.high).fold(1.0, f64::max);
    let end = ((most * 2.0).ceil() / 2.0).min(END);
    let place = |ratio: f64| LEFT + (WIDTH - LEFT - RIGHT) * ratio.min(end) / end;

    let mut bars = String::new();
    let mut y = TOP;
    for network in &NETWORKS {
        let group: Vec<&&Comparison> = shown
            .iter()
            .filter(|of| of.network == network.name)
            .collect();
        if group.is_empty() {
            continue;
        }
        let middle = y + group.len() as f64 * BAR / 2.0 + 4.0;
        let _ = write!(
            bars,
            r#"<text class="up" x="{}" y="{middle}">{}</text>"#,
            LEFT - 8.0,
            network.title
        );
        for comparison in group {
            let peer = peers
                .iter()
                .position(|name| *name == comparison.theirs.name);
            let colour = COLOURS[peer.unwrap_or(0) % COLOURS.len()];
            let ratio = comparison.ratio;
            let _ = write!(
                bars,
                r#"<rect x="{LEFT}" y="{y}" width="{:.1}" height="{}" fill="{colour}"/><path class="range" d="M{:.1} {}H{:.1}"/>"#,
                place(ratio.median) - LEFT,
                BAR - 1.0,
                place(ratio.low),
                y + BAR / 2.0 - 0.5,
                place(ratio.high)
            );
            if ratio.median > end {
                let (x, y) = (WIDTH - RIGHT + 3.0, y + BAR - 1.5);
                let _ = write!(
                    bars,
                    r#"<text class="small" x="{x}" y="{y}">{:.1}</text>"#,
                    ratio.median
                );
            }
            y += BAR;
        }
        y += GAP;
    }

    let height = y + 30.0;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{}"><style>{STYLE}</style><rect class="paper" width="{WIDTH}" height="{height}"/>"#,
        label(&shown)
    );
    let (batch, threads) = (setting.0, setting.1.0);
    let _ = write!(
        svg,
        r#"<text class="title" x="16" y="24">Times divided by Convoxide's, batch {batch}, threads {threads}</text>"#,
    );
    for (number, peer) in peers.iter().enumerate() {
        let x = 16.0 + (number % 8) as f64 * 86.0;
        let colour = COLOURS[number % COLOURS.len()];
        let _ = write!(
            svg,
            r#"<rect x="{x}" y="42" width="10" height="10" fill="{colour}"/><text x="{}" y="51" class="small">{peer}</text>"#,
            x + 13.0
        );
    }
    let mut tick = 0.0;
    while tick <= end {
        let x = place(tick);
        let class = if tick == 1.0 { "one" } else { "grid" };
        let _ = write!(
            svg,
            r#"<path class="{class}" d="M{x:.1} {}V{:.1}"/><text class="across" x="{x:.1}" y="{:.1}">{tick}</text>"#,
            TOP - 8.0,
            y - 2.0,
            y + 14.0
        );
        tick += 0.5;
    }
    svg += &bars;
    svg += "</svg>\n";
    Some(svg)
}

/// What a screen reader reads.
fn label(shown: &[&Comparison]) -> String {
    let each = shown
        .iter()
        .map(|of| format!("{}: {} {:.2}", of.network, of.theirs.name, of.ratio.median));
    let each: Vec<String> = each.collect();
    format!("Time divided by Convoxide's; {}", each.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{comparison, record};
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_ratio() {
        let mut other = comparison("resnet18", "MNN", 10.0, 99.0);
        other.threads = 1;
        let record = record(vec![
            comparison("resnet18", "ncnn", 10.0, 20.0),
            comparison("resnet18", "MNN", 10.0, 10.0),
            other,
        ]);
        let svg = svg(&record).unwrap();
        // The axis ends at 2: 570 pixels for the ratio 2, half of it for the ratio 1.
        assert!(
            svg.contains(r##"width="570.0" height="8" fill="#2563c8""##),
            "{svg}"
        );
        assert!(svg.contains(r#"width="285.0""#), "{svg}");
        assert!(
            svg.contains("resnet18: ncnn 2.00; resnet18: MNN 1.00"),
            "{svg}"
        );
        assert_eq!(svg.matches("class=\"range\"").count(), 2);
    }

    #[test]
    fn a_long_bar_is_cut_and_has_its_number() {
        let svg = svg(&record(vec![comparison("yolov2", "tract", 10.0, 85.0)])).unwrap();
        assert!(svg.contains(r#"width="570.0" height="8""#), "{svg}");
        assert!(svg.contains(">8.5</text>"), "{svg}");
    }

    #[test]
    fn layers_have_no_plot() {
        let mut layer = comparison("resnet18", "ncnn", 1.0, 1.0);
        layer.layer = Some("layer-1-1x1-1-1x1-1x1-0x0-1".to_owned());
        assert_eq!(svg(&record(vec![layer])), None);
        assert_eq!(svg(&record(Vec::new())), None);
    }
}

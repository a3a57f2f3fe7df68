//! Colours of the stylesheet, light and dark, against WCAG 2.2.

use std::collections::BTreeMap;

/// Text needs 4.5 (1.4.3, AA); edges of controls and what shows the focus need 3 (1.4.11).
const PAIRS: [(&str, &str, f64); 14] = [
    ("text", "page", 4.5),
    ("text", "card", 4.5),
    ("soft", "card", 4.5),
    ("soft", "page", 4.5),
    ("accent", "card", 4.5),
    ("accent", "warn", 4.5),
    ("accent-text", "accent", 4.5),
    ("new-text", "new", 4.5),
    ("good-text", "good", 4.5),
    ("warn-text", "warn", 4.5),
    ("bad-text", "bad", 4.5),
    ("edge", "card", 3.0),
    ("edge", "page", 3.0),
    ("accent", "page", 3.0),
];

#[test]
fn every_colour_has_the_contrast_that_its_use_needs() {
    let schemes: Vec<_> = super::super::STYLE.split(":root {").skip(1).map(colours).collect();
    assert_eq!(schemes.len(), 2, "light and dark");
    assert_eq!(schemes[0].keys().collect::<Vec<_>>(), schemes[1].keys().collect::<Vec<_>>());
    for colours in &schemes {
        for (front, back, wanted) in PAIRS {
            let (front_light, back_light) = (luminance(colours[front]), luminance(colours[back]));
            let ratio = (front_light.max(back_light) + 0.05) / (front_light.min(back_light) + 0.05);
            assert!(ratio >= wanted, "{front} on {back}: {ratio:.2}");
        }
    }
}

fn colours(block: &str) -> BTreeMap<&str, &str> {
    let block = block.split('}').next().unwrap();
    block
        .split("--")
        .skip(1)
        .map(|entry| {
            let (name, value) = entry.split_once(": ").unwrap();
            (name, value.split(';').next().unwrap())
        })
        .collect()
}

/// Relative luminance of `#rgb` or `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let digits = colour.strip_prefix('#').unwrap();
    let full: String =
        if digits.len() == 3 { digits.chars().flat_map(|c| [c, c]).collect() } else { digits.to_owned() };
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(full.get(at..at + 2).unwrap(), 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

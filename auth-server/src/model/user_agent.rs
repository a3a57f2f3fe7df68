//! What a browser calls itself, in words that its user knows it by.

use super::text;

const MAX_CHARS: usize = 60;

/// In this order, since most name the ones below too.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// The browser and the system, where both are known ones; else the beginning of what it says, made safe to show. It can say
/// anything, and nothing depends on it.
pub(crate) fn browser_name(user_agent: &str) -> String {
    let known = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    if let (Some(browser), Some(system)) = (known(&BROWSERS), known(&SYSTEMS)) {
        return format!("{browser} on {system}");
    }
    let shown = text::display_name(user_agent).unwrap_or_else(|| "Unknown browser".to_owned());
    shown.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_what_people_call_them() {
        let chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0";
        for (user_agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox on Linux"),
            (
                &*format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {chrome} Safari/537.36"),
                "Chrome on Windows",
            ),
            (&*format!("Mozilla/5.0 (Windows NT 10.0) {chrome} Safari/537.36 Edg/156.0"), "Edge on Windows"),
            (&*format!("Mozilla/5.0 (Linux; Android 16) {chrome} Mobile Safari/537.36"), "Chrome on Android"),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/19.0 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
            ("<b>\u{202E}evil\u{200B}</b>\n", "<b>evil</b>"),
            ("", "Unknown browser"),
        ] {
            assert_eq!(browser_name(user_agent), name);
        }
        assert_eq!(browser_name(&"x".repeat(5000)).len(), MAX_CHARS);
    }
}

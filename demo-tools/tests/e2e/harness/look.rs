//! Looking at a page as people with different screens and eyes do.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::chromium::Chromium;

/// A colour scheme and the width of the window in CSS pixels. 320 is what WCAG 1.4.10 asks for, and a window of 640 pixels
/// at 200 %.
const VIEWS: [(&str, u32); 4] = [("light", 900), ("dark", 900), ("light", 320), ("dark", 320)];

/// What makes a page usable without eyes or without a mouse, as far as a program can tell. Gives what is wrong.
const ACCESSIBLE: &str = r"
    const wrong = [];
    const all = selector => [...document.querySelectorAll(selector)];
    if (document.documentElement.lang !== 'en') wrong.push('no language');
    if (!document.title) wrong.push('no title');
    for (const one of ['h1', 'main', 'header']) if (all(one).length !== 1) wrong.push(`not one ${one}`);
    const levels = all('h1, h2, h3').map(heading => Number(heading.tagName[1]));
    levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) wrong.push(`heading ${at} skips a level`); });
    for (const field of all('input:not([type=hidden]):not([hidden])')) {
        if (!field.labels.length || !field.labels[0].textContent.trim()) wrong.push(`no label: ${field.name}`);
    }
    for (const control of all('button:not([hidden]), a, summary')) {
        if (!control.textContent.trim()) wrong.push(`no name: ${control.outerHTML}`);
        const box = control.getBoundingClientRect();
        const inline = control.matches('p a, p button');
        if (!inline && Math.min(box.width, box.height) < 20) wrong.push(`too small: ${control.outerHTML}`);
    }
    for (const reference of all('[aria-describedby], [aria-labelledby], [form]')) {
        for (const attribute of ['aria-describedby', 'aria-labelledby', 'form']) {
            const id = reference.getAttribute(attribute);
            if (id && !document.getElementById(id)) wrong.push(`${attribute} leads nowhere: ${id}`);
        }
    }
    const ids = all('[id]').map(element => element.id);
    if (new Set(ids).size !== ids.length) wrong.push('an id twice');
    if (!document.activeElement.matches('body, summary')) wrong.push(`focused: ${document.activeElement.outerHTML}`);
    if (document.scripts.length) wrong.push('a script');
    const wide = all('body *').filter(element =>
        !element.matches('.unseen') && element.getBoundingClientRect().right > innerWidth + 1);
    if (wide.length) wrong.push(`wider than the window: ${wide.map(element => element.tagName)}`);
    return wrong;
";

impl Chromium {
    /// Looks at the page in every view, and keeps pictures where `E2E_SCREENSHOTS` says, for people to look at.
    pub(crate) async fn look(&self, name: &str) {
        // a bar would take of the width
        let hidden = json!({ "hidden": true });
        self.page.cdp().send_raw("Emulation.setScrollbarsHidden", hidden).await.unwrap();
        for (scheme, width) in VIEWS {
            let cdp = self.page.cdp();
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            cdp.send_raw("Emulation.setEmulatedMedia", features).await.unwrap();
            let metrics = json!({ "width": width, "height": 760, "deviceScaleFactor": 1, "mobile": false });
            cdp.send_raw("Emulation.setDeviceMetricsOverride", metrics).await.unwrap();
            let wrong = self.page.execute(ACCESSIBLE, Vec::new()).await.unwrap();
            assert_eq!(*wrong.json(), json!([]), "{name}, {scheme}, {width}");
            self.picture(&format!("{name}-{scheme}-{width}")).await;
        }
        let cdp = self.page.cdp();
        cdp.send_raw("Emulation.clearDeviceMetricsOverride", json!({})).await.unwrap();
    }

    /// The whole page, also what is below the window.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("E2E_SCREENSHOTS") else { return };
        let cdp = self.page.cdp();
        let metrics = cdp.send_raw("Page.getLayoutMetrics", json!({})).await.unwrap();
        let size = |side: &str| Value::clone(&metrics["cssContentSize"][side]);
        let clip = json!({ "x": 0, "y": 0, "width": size("width"), "height": size("height"), "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = cdp.send_raw("Page.captureScreenshot", wanted).await.unwrap();
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

//! What the page is made of beside its HTML: compiled in, and served under names that change with what they hold.

use std::fmt::Write as _;

use bytes::Bytes;
use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::colour::Colour;

const CSS: &str = include_str!("../../templates/assets/page.css");
const JS: &[u8] = include_bytes!("../../templates/assets/page.js");

/// The style sheet, the script and the icon, in the colours of the application.
#[derive(Debug, Clone)]
pub(super) struct Assets {
    pub(super) css: Asset,
    pub(super) js: Asset,
    pub(super) icon: Asset,
}

#[derive(Debug, Clone)]
pub(super) struct Asset {
    /// The name that it has for ever, such as `page.css`.
    plain: &'static str,
    /// With a part of its SHA-256.
    pub(super) name: String,
    pub(super) tag: HeaderValue,
    pub(super) content_type: HeaderValue,
    pub(super) body: Bytes,
}

impl Assets {
    pub(super) fn new(accent: Colour) -> Self {
        let (ink, light, dark) = (accent.ink(), accent.on_light(), accent.on_dark());
        let css = format!(
            ":root{{--accent:{accent};--on-accent:{ink};--link:{light}}}\
             @media(prefers-color-scheme:dark){{:root{{--link:{dark}}}}}\n{CSS}"
        );
        let icon = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"8\" fill=\"{accent}\"/>\
             <g fill=\"none\" stroke=\"{ink}\" stroke-width=\"2.6\" stroke-linecap=\"round\" stroke-linejoin=\"round\">\
             <circle cx=\"12\" cy=\"20\" r=\"4.6\"/><path d=\"m15.4 16.6 8.2-8.2m-4 4 3.4 3.4\"/></g></svg>"
        );
        Self {
            css: Asset::new("page.css", "text/css; charset=utf-8", css.into()),
            js: Asset::new(
                "page.js",
                "text/javascript; charset=utf-8",
                Bytes::from_static(JS),
            ),
            icon: Asset::new("icon.svg", "image/svg+xml", icon.into()),
        }
    }

    /// What has this name, and whether it will have it for ever.
    pub(super) fn find(&self, name: &str) -> Option<(&Asset, bool)> {
        let mut all = [&self.css, &self.js, &self.icon].into_iter();
        let found = all.find(|asset| asset.name == name || asset.plain == name)?;
        Some((found, found.name == name))
    }
}

impl Asset {
    fn new(plain: &'static str, content_type: &'static str, body: Bytes) -> Self {
        let mut hash = String::new();
        for byte in &Sha256::digest(&body)[..8] {
            // Writing to a string cannot fail.
            let _ = write!(hash, "{byte:02x}");
        }
        let (stem, end) = plain.split_once('.').unwrap_or((plain, ""));
        let tag = format!("\"{hash}\"");
        Self {
            plain,
            name: format!("{stem}-{hash}.{end}"),
            // Digits between quotes.
            tag: HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\"")),
            content_type: HeaderValue::from_static(content_type),
            body,
        }
    }
}

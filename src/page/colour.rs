use std::fmt;

/// A colour of the screen (sRGB), opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    red: u8,
    green: u8,
    blue: u8,
}

const WHITE: Colour = Colour::rgb(255, 255, 255);
const BLACK: Colour = Colour::rgb(17, 17, 20);
/// What text stands on, at its least contrast: see the style sheet.
const LIGHT: Colour = Colour::rgb(246, 247, 249);
const DARK: Colour = Colour::rgb(27, 29, 34);

/// WCAG 2.2, success criterion 1.4.3.
const READABLE: f64 = 4.5;

impl Colour {
    /// A colour by the parts of its notation: `#635bff` is `rgb(0x63, 0x5b, 0xff)`.
    #[must_use]
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }

    /// Black or white, whichever reads better on it.
    pub(super) fn ink(self) -> Self {
        if self.contrast(WHITE) >= READABLE || self.contrast(WHITE) >= self.contrast(BLACK) {
            WHITE
        } else {
            BLACK
        }
    }

    /// The same, as dark as it takes to be read on a light page.
    pub(super) fn on_light(self) -> Self {
        self.readable(LIGHT, BLACK)
    }

    /// The same, as light as it takes to be read on a dark page.
    pub(super) fn on_dark(self) -> Self {
        self.readable(DARK, WHITE)
    }

    fn readable(self, ground: Self, towards: Self) -> Self {
        let steps = (0..=20).map(|step| self.mixed(towards, step, 20));
        let mut readable = steps.filter(|colour| colour.contrast(ground) >= READABLE);
        readable.next().unwrap_or(towards)
    }

    fn mixed(self, other: Self, part: u16, of: u16) -> Self {
        let mix = |a: u8, b: u8| {
            let mixed = (u16::from(a) * (of - part) + u16::from(b) * part) / of;
            u8::try_from(mixed).unwrap_or(u8::MAX)
        };
        Self::rgb(
            mix(self.red, other.red),
            mix(self.green, other.green),
            mix(self.blue, other.blue),
        )
    }

    fn contrast(self, other: Self) -> f64 {
        let (ours, theirs) = (self.luminance() + 0.05, other.luminance() + 0.05);
        ours.max(theirs) / ours.min(theirs)
    }

    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_colour_is_chosen_can_be_read() {
        for level in 0..=255 {
            for colour in [
                Colour::rgb(level, level, level),
                Colour::rgb(level, 0, 255 - level),
                Colour::rgb(255, level, 0),
                Colour::rgb(0, 255, level),
            ] {
                assert!(colour.on_light().contrast(LIGHT) >= READABLE, "{colour}");
                assert!(colour.on_dark().contrast(DARK) >= READABLE, "{colour}");
                assert!(colour.ink().contrast(colour) >= 4.2, "{colour}");
            }
        }
        assert_eq!(Colour::rgb(0x63, 0x5b, 0xff).to_string(), "#635bff");
        assert_eq!(
            WHITE.contrast(Colour::rgb(0, 0, 0)).round() as u32,
            21,
            "as WCAG defines it"
        );
    }
}

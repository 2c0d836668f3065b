//! What is known of when keys were used: what was written down, some time after it was so, and what this process has counted since.

use std::time::{Duration, SystemTime};

use askama::Template;

use super::{
    DAYS, Day,
    texts::{Texts, fill},
    when::{Moment, date_of},
};
use crate::{
    clock::to_unix_ms,
    key::{KeyId, KeyRecord, Tallies},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The uses of an application that has them written down.
#[derive(Debug, Clone)]
pub(super) struct Uses {
    tallies: Tallies,
    /// How long after a use it may be written down.
    delay: Duration,
}

/// When a key was last used, to be shown: `|safe` in other templates, since it is one itself.
#[derive(Debug, Template)]
#[template(
    source = r#"{% if let Some(moment) = moment %}{{ moment|safe }}{% else if is_known %}{{ said }}{% else %}<span class="dim">{{ said }}</span>{% endif %}"#,
    ext = "html"
)]
pub(super) struct LastUse {
    /// As it was written down.
    moment: Option<Moment>,
    pub(super) said: String,
    /// Whether any use is.
    pub(super) is_known: bool,
}

impl Uses {
    pub(super) fn new(tallies: Tallies, delay: Duration) -> Self {
        // Only what is shown has to be counted.
        tallies.begin();
        Self { tallies, delay }
    }

    /// The last days, of which the last is the one that `now` is in; `None` where they may not have been counted.
    pub(super) fn days(&self, id: KeyId, now: SystemTime) -> Option<Vec<Day>> {
        let now = u64::try_from(to_unix_ms(now)).unwrap_or_default();
        let counted = self.tallies.days(id, now, DAYS)?.into_iter();
        Some(
            counted
                .map(|(allowed, refused)| Day { allowed, refused })
                .collect(),
        )
    }

    /// A moment of the last day on which this process counted a use. Whoever is refused with a good key uses it, too.
    fn counted(&self, id: KeyId, now: SystemTime) -> Option<SystemTime> {
        let days = self.days(id, now)?;
        let ago = days
            .iter()
            .rev()
            .position(|day| day.allowed > 0 || day.refused > 0)?;
        now.checked_sub(DAY * u32::try_from(ago).ok()?)
    }

    /// When the key was last used that was used at `written` at the latest, as far as the store knows.
    pub(super) fn last_use(
        &self,
        id: KeyId,
        written: Option<SystemTime>,
        now: SystemTime,
        t: &Texts,
    ) -> LastUse {
        let counted = self.counted(id, now).map(date_of);
        let (moment, said) = match (written, counted) {
            (Some(written), Some(counted)) if counted > date_of(written) => (None, Some(counted)),
            (Some(written), _) => (Some(Moment::new(written, now, t)), None),
            (None, counted) => (None, counted),
        };
        let said = match &moment {
            Some(moment) => Some(moment.said.clone()),
            None if said == Some(date_of(now)) => Some(t.used_today.to_string()),
            None => said,
        };
        LastUse {
            moment,
            is_known: said.is_some(),
            said: said.unwrap_or_else(|| t.no_use.to_string()),
        }
    }

    /// Whether what was used at a moment is written down by now.
    fn is_written(&self, moment: SystemTime, now: SystemTime) -> bool {
        let by = moment.checked_add(self.delay.saturating_mul(2));
        by.is_some_and(|by| now >= by)
    }

    /// Whether a key was used since another took over from it.
    pub(super) fn since(&self, old: &KeyRecord, made: SystemTime, now: SystemTime) -> Since {
        if old.last_used_at.is_some_and(|used| used > made) {
            return Since::Used;
        }
        match self.counted(old.id, now).map(date_of) {
            Some(counted) if counted > date_of(made) => Since::Used,
            // On that day: what was before would be written down by now, once that had the time for it.
            Some(counted) if counted == date_of(made) && !self.is_written(made, now) => Since::Unclear,
            _ => Since::Quiet,
        }
    }
}

/// What became of a key that another has taken over from.
pub(super) enum Since {
    Used,
    /// It was used on that day.
    Unclear,
    /// As far as is known.
    Quiet,
}

impl LastUse {
    /// The same in a sentence.
    pub(super) fn sentence(&self, t: &Texts) -> String {
        match self.is_known {
            true => fill(&t.revoke_used, &self.said),
            false => t.revoke_unused.to_string(),
        }
    }
}

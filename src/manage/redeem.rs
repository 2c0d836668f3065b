use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Keys,
    error::{ManageError, ManageErrorKind, TokenFault},
    label,
    mint::decide_mint,
    policy::{Policy, Rights},
    request::{IssuedKey, NewKey},
    to_the_millisecond,
    turns::Effect,
    verb::{Decided, Maker, Verb},
};
use crate::{
    access::Grants,
    clock::Clock,
    event::{Actor, Settled},
    key::KeyRecord,
    store::{Reads, SpentToken, TokenId, View, Writes},
};

const EXCHANGE: Verb = Verb::new("exchange");
/// How many spent tokens are forgotten with each that is spent: more than one, so that they never pile up.
const FORGOTTEN_ON_THE_WAY: u32 = 16;

/// A token of another issuer that a trust policy gives a key for.
#[derive(Debug)]
pub(crate) struct Redemption {
    /// Whose the key will be.
    pub(crate) owner: String,
    /// What the key will be called: as the policy is.
    pub(crate) name: String,
    /// What the policy gives.
    pub(crate) grants: Grants,
    /// What was asked for of that.
    pub(crate) wanted: Grants,
    /// How long the key is good at most.
    pub(crate) lifetime: Duration,
    pub(crate) token: TokenId,
    /// The first moment at which the token is good, by the clock of the store.
    pub(crate) not_before: SystemTime,
    /// The first at which it no longer is.
    pub(crate) expires_at: SystemTime,
    /// Until when it is remembered.
    pub(crate) remember: SystemTime,
    /// Who the log says it was.
    pub(crate) actor: Actor,
    /// And what for.
    pub(crate) note: String,
}

impl Redemption {
    /// What the policy may give out, as if it were somebody who has no more than that.
    pub(super) fn rights(&self, now: SystemTime) -> Rights {
        Rights {
            grants: self.grants.clone(),
            expires_at: now.checked_add(self.lifetime).map(to_the_millisecond),
            allowed_ips: None,
            rate_limit: None,
        }
    }
}

impl Keys {
    /// The clock of the application.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.0.refusals.clock()
    }

    /// Whether there can be a [`Keys::redeem`] at all.
    pub(crate) fn can_redeem(&self) -> bool {
        self.0.store.keeps_tokens()
    }

    /// Mints a key for a token, once.
    ///
    /// # Errors
    ///
    /// [`ManageErrorKind::TokenNotGood`]; as when a caller mints.
    pub(crate) async fn redeem(&self, redemption: Redemption) -> Result<IssuedKey, ManageError> {
        label::check_lists(&redemption.wanted)?;
        let (key, draft) = self.draft(&redemption.owner)?;
        let turn = self.0.turns.of_owner(&redemption.owner, Effect::Gives).await?;
        let mut reads = Reads::nothing().live_of(redemption.owner.as_str());
        reads.token = Some(redemption.token);
        reads.forgettable_tokens = FORGOTTEN_ON_THE_WAY;
        let policy = self.0.policy.clone();
        let redemption = Arc::new(redemption);
        let maker = Maker::Trust(redemption.clone());
        let decide =
            move |maker: &Maker, view: &View| decide_redemption(maker, view, &policy, &redemption, draft);
        let record = self
            .perform(&turn, maker, EXCHANGE, reads, Settled::Changed, decide)
            .await?;
        Ok(IssuedKey { key, record })
    }

    /// Writes down that a token was refused, as far as there is room for what strangers are refused.
    ///
    /// # Errors
    ///
    /// When the store cannot.
    pub(crate) async fn refuse_token(&self, actor: Actor, reason: String) -> Result<(), ManageError> {
        if !self.0.refusals.have_room_for_strangers() {
            return Ok(());
        }
        let maker = Maker::Application(actor);
        let turn = self.0.turns.of_owner(STRANGERS, Effect::Gives).await?;
        let decide = move |maker: &Maker, view: &View| {
            let now = to_the_millisecond(view.now);
            let mut writes = Writes::nothing();
            writes.events.push(crate::event::KeyEvent::refused(
                None,
                STRANGERS,
                now,
                &maker.actor(),
                reason,
            ));
            Ok((writes, ()))
        };
        self.perform(&turn, maker, EXCHANGE, Reads::nothing(), Settled::Changed, decide)
            .await
    }
}

/// Whose log it is in that a token was refused: nobody's.
const STRANGERS: &str = "";

fn decide_redemption(
    maker: &Maker,
    view: &View,
    policy: &Policy,
    redemption: &Redemption,
    mut record: KeyRecord,
) -> Decided<KeyRecord> {
    let now = to_the_millisecond(view.now);
    let fault = if view.spent {
        Some(TokenFault::Spent)
    } else if now >= redemption.expires_at {
        Some(TokenFault::Expired)
    } else if now < redemption.not_before {
        Some(TokenFault::NotYet)
    } else {
        None
    };
    if let Some(fault) = fault {
        return Err(ManageErrorKind::TokenNotGood(fault).into());
    }
    record.exchanged = true;
    let mut new = NewKey::new(redemption.owner.as_str())
        .name(redemption.name.as_str())
        .grants(redemption.wanted.clone());
    new.expires_at = [now.checked_add(redemption.lifetime), policy.latest(now)]
        .into_iter()
        .flatten()
        .min();
    let (mut writes, record) = decide_mint(maker, view, policy, new, record)?;
    for event in &mut writes.events {
        event.reason = Some(format!("{}: {}", EXCHANGE.word(), redemption.note));
    }
    writes.spend = Some(SpentToken::new(redemption.token, redemption.remember));
    writes.forget.clone_from(&view.forgettable_tokens);
    Ok((writes, record))
}

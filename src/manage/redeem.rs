use std::sync::Arc;

use super::{
    Keys,
    error::{ManageError, ManageErrorKind, TokenFault},
    label,
    mint::decide_mint,
    policy::Policy,
    request::{IssuedKey, NewKey},
    to_the_millisecond,
    trust::Redemption,
    turns::Effect,
    verb::{Decided, Maker, Verb},
};
use crate::{
    clock::Clock,
    event::{Actor, Settled},
    key::KeyRecord,
    store::{Reads, SpentToken, View, Writes},
};

const EXCHANGE: Verb = Verb::new("exchange");
/// How many spent tokens are forgotten with each that is spent: more than one, so that they never pile up.
const FORGOTTEN_ON_THE_WAY: u32 = 16;

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

pub(super) fn decide_redemption(
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
    writes.spend_token = Some(SpentToken::new(redemption.token, redemption.remember));
    writes.forget_tokens.clone_from(&view.forgettable_tokens);
    Ok((writes, record))
}

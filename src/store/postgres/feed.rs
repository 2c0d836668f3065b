//! One node: what listens to the database, and proves all the time that it hears.

use std::{convert::Infallible, mem, sync::Arc};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    lent,
    nodes::{self, CHANNEL},
};
use crate::{
    event::{BEAT, BEAT_TIMEOUT, CONNECT_TIMEOUT, Feed, FeedSink, Lost, Outage, nonce},
    key::KeyDigest,
    store::sql::{Entered, LEAVE_TIMEOUT, Running},
};

/// A feed, of a node of its own each time it runs.
pub(super) fn feed(options: Arc<PgConnectOptions>, teller: PgPool, running: Running) -> Feed {
    Feed::new(move |sink| async move {
        let mut closed = teller.close_event();
        let mut node = Node {
            id: None,
            sink,
            options: listening((*options).clone()),
            teller,
            pool: None,
            outage: Outage::none(),
            entered: Some(running.enter()),
        };
        drop(closed.do_until(node.run()).await);
        // Whoever closes the store waits for this.
        drop(node);
        std::future::pending().await
    })
}

/// How the listening connection differs from the others.
fn listening(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("tower-api-key feed").options([
        ("default_transaction_isolation", "read committed"),
        ("default_transaction_read_only", "off"),
        ("statement_timeout", "10s"),
        // The server must not keep a listener that is gone: it would keep all that was told since as well.
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "1"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "10s"),
    ])
}

struct Node {
    /// Since it is, or may be, in the table.
    id: Option<String>,
    sink: FeedSink,
    options: PgConnectOptions,
    teller: PgPool,
    /// Of the one connection that listens, or did.
    pool: Option<PgPool>,
    outage: Outage,
    entered: Option<Entered>,
}

impl Node {
    async fn run(&mut self) {
        loop {
            let Err(Lost(cause)) = self.listen().await;
            let pause = self.outage.go_on(&self.sink, &cause);
            sleep(pause).await;
        }
    }

    /// Connects and hears until it does not. In this order: listen, flush, renew, acknowledge. With any other there is a change that is
    /// neither flushed nor heard of, or that is acknowledged before it is.
    async fn listen(&mut self) -> Result<Infallible, Lost> {
        let mut ear = timeout(CONNECT_TIMEOUT, self.connect()).await??;
        self.probe(&mut ear).await?;
        let id = match self.id.clone() {
            Some(id) => id,
            None => nonce()?,
        };
        let place = timeout(BEAT_TIMEOUT, nodes::place(&mut ear)).await??;
        self.sink.changed_all();
        self.id = Some(id.clone());
        let mut seat = Seat {
            id: &id,
            table: place.table,
            asked: false,
            // What was asked for until now was committed before the flush.
            answer: Some(place.asked),
            proven: false,
        };
        loop {
            let begun = Instant::now();
            let sent = self.sink.now();
            let beat = nonce()?;
            let late = begun + BEAT_TIMEOUT;
            timeout_at(late, nodes::beat(&mut ear, &id, &beat)).await??;
            if !self.hear(&mut ear, Some(&mut seat), late, Some(&beat)).await? {
                return Err(Lost("what was notified did not come back in time".to_owned()));
            }
            // Notifications come in the order of commits: all that was committed before the beat has been told.
            self.sink.proven(sent);
            seat.proven = true;
            self.outage.end();
            self.hear(&mut ear, Some(&mut seat), begun + BEAT, None).await?;
        }
    }

    async fn connect(&mut self) -> Result<PgListener, Lost> {
        // A new one each time: where a connection is lost, its pool may wait for it for ever.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(self.options.clone());
        self.pool = Some(pool.clone());
        let mut ear = PgListener::connect_with(&pool).await?;
        // It does not come back of itself: what was missed meanwhile would not be noticed.
        ear.eager_reconnect(false);
        ear.listen(CHANNEL).await?;
        Ok(ear)
    }

    /// Makes sure that what is told where keys are changed is heard here, while this connection does nothing but listen. A pooler that
    /// lends connections by the transaction would answer a beat sent from here, and yet drop all that comes in between; and a listener
    /// with an address of its own may be at the wrong database.
    async fn probe(&mut self, ear: &mut PgListener) -> Result<(), Lost> {
        let late = Instant::now() + BEAT_TIMEOUT;
        let probe = nonce()?;
        let telling = lent::on(&self.teller, async |sql| nodes::tell(sql, &probe).await);
        let table = timeout_at(late, telling).await??;
        if !self.hear(ear, None, late, Some(&probe)).await? {
            return Err(Lost(
                "what was notified is not heard, so nothing is cached: is there a pooler in transaction mode before the database? Then give \
                 the listener an address of its own, with PostgresStore::listen_url"
                    .to_owned(),
            ));
        }
        // Whoever waits for all nodes would not see this one.
        match timeout_at(late, nodes::table(ear)).await?? == table {
            true => Ok(()),
            false => Err(Lost(
                "the listener is at other tables than those in which keys are changed, so nothing is cached: has the address given to \
                 PostgresStore::listen_url another search_path?"
                    .to_owned(),
            )),
        }
    }

    /// Tells what it hears, until a moment or until the beat is back, and says whether it is. Answers what it is asked, in its place.
    async fn hear(
        &self,
        ear: &mut PgListener,
        mut seat: Option<&mut Seat<'_>>,
        until: Instant,
        beat: Option<&str>,
    ) -> Result<bool, Lost> {
        loop {
            let heard = match ear.next_buffered() {
                Some(heard) => heard,
                None => {
                    if let Some(seat) = seat.as_mut().filter(|seat| seat.proven) {
                        // Nothing is left of what came before this answer was found.
                        if let Some(answer) = seat.answer.take() {
                            timeout(BEAT_TIMEOUT, nodes::acknowledge(ear, seat.id, answer)).await??;
                            continue;
                        }
                        // All at once, where many ask.
                        if mem::take(&mut seat.asked) {
                            seat.answer = Some(timeout(BEAT_TIMEOUT, nodes::asked(ear)).await??);
                            continue;
                        }
                    }
                    // Looked at here, for somebody who tells without end must not keep the heart from beating.
                    if Instant::now() >= until {
                        return Ok(false);
                    }
                    match timeout_at(until, ear.try_recv()).await {
                        Ok(Ok(Some(heard))) => heard,
                        Ok(Ok(None)) => return Err(Lost("the connection was closed".to_owned())),
                        Ok(Err(error)) => return Err(error.into()),
                        Err(_) => return Ok(false),
                    }
                }
            };
            // The server sees to it that this is text: where the database has no encoding it answers with an error in place of one that is not.
            match Word::read(heard.payload()) {
                Word::Key(digest) => self.sink.changed(&digest),
                Word::All => self.sink.changed_all(),
                Word::Ask(table) => {
                    if let Some(seat) = seat.as_mut().filter(|seat| seat.table == table) {
                        seat.asked = true;
                    }
                }
                Word::Beat(text) if Some(text) == beat => return Ok(true),
                Word::Beat(_) => {}
            }
        }
    }
}

impl Drop for Node {
    /// Leaves: first it says that nothing that is cached may be used, and then nobody has to wait for it.
    fn drop(&mut self) {
        self.sink.lost("the feed has ended");
        let (id, pool, entered) = (self.id.take(), self.pool.take(), self.entered.take());
        if let (Some(id), Some(pool), Ok(runtime)) = (id, pool, Handle::try_current()) {
            runtime.spawn(async move {
                drop(timeout(LEAVE_TIMEOUT, nodes::leave(&pool, &id)).await);
                drop(entered);
            });
        }
    }
}

/// Where a node is written down.
struct Seat<'a> {
    id: &'a str,
    /// Which of the tables of that name, for channels are not of a schema.
    table: i64,
    /// Whether it has been asked since it last looked for what. Which number was named says nothing: whoever may notify can name one that has
    /// been taken, and not told yet.
    asked: bool,
    /// The highest number that had been asked for when it looked, to be answered with once all that came in until then is applied. What was
    /// committed before the number was taken is among that.
    answer: Option<i64>,
    /// Whether it has heard a beat: it does not answer before.
    proven: bool,
}

/// What is told.
enum Word<'a> {
    Key(KeyDigest),
    All,
    Beat(&'a str),
    /// In this table.
    Ask(i64),
}

impl<'a> Word<'a> {
    fn read(payload: &'a str) -> Self {
        let read = match payload.split_once(':') {
            Some(("key", digest)) => digest.parse().ok().map(Self::Key),
            Some(("beat", beat)) => Some(Self::Beat(beat)),
            Some(("ask", ask)) => ask
                .split_once(':')
                .and_then(|(table, _)| table.parse().ok().map(Self::Ask)),
            _ => None,
        };
        read.unwrap_or(Self::All)
    }
}

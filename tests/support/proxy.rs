//! A network before a server: it can be slow, stand still, be cut, lose what it was given, and keep PostgreSQL's notifications to itself.

#![expect(
    unreachable_pub,
    reason = "shared by test targets, each of which is a crate of its own"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Builder,
    sync::watch,
    time::sleep,
};

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fair,
    /// Nothing moves; all of it does once it is fair again.
    Still,
    /// New connections end at once.
    Cut,
    /// New connections come to nothing.
    Lost,
}

/// The weather now, and how often there was a worse one: a connection must not miss one that was short.
#[derive(Debug, Clone, Copy)]
struct Sky {
    weather: Weather,
    cuts: u64,
    losses: u64,
}

#[derive(Debug, Default)]
struct Wishes {
    /// The connection that says `COMMIT` next loses the answer.
    lose_next_commit: AtomicBool,
    /// Notifications do not get through, and everything else does: as behind a pooler that lends a connection for one transaction.
    swallow_notifications: AtomicBool,
    swallowed: AtomicUsize,
    /// Up to how many microseconds each piece of an answer takes.
    delay: AtomicU64,
}

#[derive(Debug, Clone)]
pub struct Proxy {
    url: String,
    /// Whether it knows where messages begin.
    is_postgres: bool,
    sky: watch::Sender<Sky>,
    wishes: Arc<Wishes>,
}

impl Proxy {
    /// In front of the PostgreSQL server that a URL names. The URL must name a user, and the connection be in the clear.
    pub fn before(url: &str) -> Self {
        let (credentials, rest) = url.split_once('@').expect("a URL with a user");
        let (server, path) = rest.split_once('/').expect("a URL with a database");
        Self::of(server, true, |address| format!("{credentials}@{address}/{path}"))
    }

    /// In front of any server at this address, whatever it speaks.
    pub fn of_address(server: &str) -> Self {
        Self::of(server, false, str::to_owned)
    }

    /// In a thread of its own.
    fn of(server: &str, is_postgres: bool, url: impl FnOnce(&str) -> String) -> Self {
        let server = server.to_owned();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("an address").to_string();
        let fair = Sky {
            weather: Weather::Fair,
            cuts: 0,
            losses: 0,
        };
        let proxy = Self {
            url: url(&address),
            is_postgres,
            sky: watch::channel(fair).0,
            wishes: Arc::default(),
        };
        let of_thread = proxy.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(of_thread.serve(listener, server));
        });
        proxy
    }

    /// The same server by way of this: its URL, or its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn clear_up(&self) {
        self.sky.send_modify(|sky| sky.weather = Weather::Fair);
    }

    /// Nothing moves until it clears up; nothing is lost either.
    pub fn stand_still(&self) {
        self.sky.send_modify(|sky| sky.weather = Weather::Still);
    }

    /// The connections there are end, and new ones end at once.
    pub fn cut(&self) {
        self.sky.send_modify(|sky| {
            sky.weather = Weather::Cut;
            sky.cuts += 1;
        });
    }

    /// The connections there are end, and new ones do not.
    pub fn end_all(&self) {
        self.cut();
        self.clear_up();
    }

    /// The connections there are neither move nor end any more, also when it clears up; new ones come to nothing.
    pub fn lose(&self) {
        self.sky.send_modify(|sky| {
            sky.weather = Weather::Lost;
            sky.losses += 1;
        });
    }

    pub fn lose_the_answer_to_the_next_commit(&self) {
        self.wishes.lose_next_commit.store(true, Ordering::SeqCst);
    }

    pub fn swallow_notifications(&self, swallow: bool) {
        self.wishes.swallow_notifications.store(swallow, Ordering::SeqCst);
    }

    /// How many notifications were kept from clients.
    pub fn swallowed(&self) -> usize {
        self.wishes.swallowed.load(Ordering::SeqCst)
    }

    /// Each piece of an answer takes some time, up to this.
    pub fn delay(&self, most: Duration) {
        let micros = u64::try_from(most.as_micros()).expect("a short time");
        self.wishes.delay.store(micros, Ordering::SeqCst);
    }

    async fn serve(self, listener: std::net::TcpListener, server: String) {
        let listener = TcpListener::from_std(listener).expect("a listener");
        loop {
            // Too many open files, by whomever, must not be the end of it.
            let Ok((client, _)) = listener.accept().await else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            let sky = *self.sky.borrow();
            match sky.weather {
                Weather::Fair | Weather::Still => {
                    // A server that is gone ends connections as a cut does.
                    let Ok(server) = TcpStream::connect(&server).await else {
                        continue;
                    };
                    // Small messages must not wait for one another.
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let lost = Arc::new(AtomicBool::new(false));
                    let pipe = |from_client| Pipe {
                        proxy: self.clone(),
                        born: sky,
                        lost: lost.clone(),
                        from_client,
                        frames: Frames::default(),
                    };
                    tokio::spawn(pipe(true).run(from_client, to_server));
                    tokio::spawn(pipe(false).run(from_server, to_client));
                }
                Weather::Cut => drop(client),
                Weather::Lost => std::mem::forget(client),
            }
        }
    }
}

/// One direction of a connection.
struct Pipe {
    proxy: Proxy,
    born: Sky,
    /// Shared with the other direction.
    lost: Arc<AtomicBool>,
    from_client: bool,
    frames: Frames,
}

enum Fate {
    Open,
    Ended,
    Lost,
}

impl Pipe {
    async fn run(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut sky = self.proxy.sky.subscribe();
        let mut bytes = vec![0; 64 * 1024];
        let mut out = Vec::new();
        loop {
            let read = tokio::select! {
                biased;
                _ = sky.changed() => None,
                read = from.read(&mut bytes) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(read) => Some(read),
                },
            };
            if read.is_some() {
                self.dawdle().await;
            }
            match self.fate(&mut sky).await {
                Fate::Open => {}
                Fate::Ended => return,
                Fate::Lost => {
                    // Neither end hears of anything again.
                    std::mem::forget((from, to));
                    return;
                }
            }
            let Some(read) = read else { continue };
            out.clear();
            self.pass(&bytes[..read], &mut out);
            if to.write_all(&out).await.is_err() {
                return;
            }
        }
    }

    /// What becomes of the connection, once something can.
    async fn fate(&self, sky: &mut watch::Receiver<Sky>) -> Fate {
        loop {
            let now = *sky.borrow_and_update();
            if now.losses > self.born.losses {
                self.lost.store(true, Ordering::SeqCst);
            }
            if self.lost.load(Ordering::SeqCst) {
                return Fate::Lost;
            }
            if now.cuts > self.born.cuts {
                return Fate::Ended;
            }
            if now.weather != Weather::Still {
                return Fate::Open;
            }
            if sky.changed().await.is_err() {
                return Fate::Ended;
            }
        }
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let wishes = &self.proxy.wishes;
        if !self.proxy.is_postgres {
            out.extend_from_slice(bytes);
        } else if self.from_client {
            let commits = bytes.windows(7).any(|window| window == b"COMMIT\0");
            if commits && wishes.lose_next_commit.swap(false, Ordering::SeqCst) {
                // The commit itself gets through; what comes back does not.
                self.lost.store(true, Ordering::SeqCst);
            }
            out.extend_from_slice(bytes);
        } else {
            let swallow = wishes.swallow_notifications.load(Ordering::SeqCst);
            let swallowed = self.frames.pass(bytes, swallow, out);
            wishes.swallowed.fetch_add(swallowed, Ordering::SeqCst);
        }
    }

    async fn dawdle(&self) {
        let most = self.proxy.wishes.delay.load(Ordering::SeqCst);
        if most > 0 && !self.from_client {
            let random = getrandom::u64().expect("random bits");
            sleep(Duration::from_micros(random % most)).await;
        }
    }
}

/// The messages from a server, wherever the pieces in which they come begin and end.
#[derive(Debug, Default)]
struct Frames {
    head: Vec<u8>,
    left: usize,
    swallowing: bool,
}

impl Frames {
    /// The type, and the length of the rest with the four bytes of the length itself.
    const HEAD: usize = 5;
    /// `NotificationResponse`.
    const NOTIFICATION: u8 = b'A';

    /// Appends what is to get through, and says how many notifications are not.
    fn pass(&mut self, mut bytes: &[u8], swallow: bool, out: &mut Vec<u8>) -> usize {
        let mut swallowed = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
                if !self.swallowing {
                    out.extend_from_slice(body);
                }
                self.left -= body.len();
                bytes = rest;
                continue;
            }
            let (more, rest) = bytes.split_at((Self::HEAD - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(more);
            bytes = rest;
            if let &[kind, a, b, c, d] = self.head.as_slice() {
                self.swallowing = swallow && kind == Self::NOTIFICATION;
                swallowed += usize::from(self.swallowing);
                if !self.swallowing {
                    out.extend_from_slice(&self.head);
                }
                self.left = u32::from_be_bytes([a, b, c, d]) as usize - 4;
                self.head.clear();
            }
        }
        swallowed
    }
}

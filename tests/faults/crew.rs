//! Probers: clients that ask the same again and again, and write down when they began and what they were told.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep};

use crate::wire::Wire;

/// Longer than a server is ever frozen here.
const HANGS: Duration = Duration::from_secs(8);

/// A request that got no answer.
pub(crate) const NO_ANSWER: u16 = 0;

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    /// Before the first byte was written.
    pub(crate) start: Instant,
    /// After the last was read.
    pub(crate) end: Instant,
    pub(crate) status: u16,
    pub(crate) node: usize,
}

impl Probe {
    /// Any answer that shows that the request was let in.
    pub(crate) fn accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What a prober was told last, and how often it was told the same.
#[derive(Debug, Default)]
struct Said {
    status: AtomicU16,
    times: AtomicUsize,
    all: AtomicUsize,
}

/// So many probers at each of some servers. Connections are kept from one shift to the next.
#[derive(Debug)]
pub(crate) struct Crew {
    wires: Vec<(usize, Wire)>,
    pace: Option<Duration>,
}

impl Crew {
    /// `each` of them at each server; servers are told apart by their number.
    pub(crate) fn at(servers: &[(usize, SocketAddr)], each: usize) -> Self {
        let wires = servers
            .iter()
            .flat_map(|&(node, address)| (0..each).map(move |_| (node, Wire::to(address).patience(HANGS))));
        Self {
            wires: wires.collect(),
            pace: None,
        }
    }

    /// Each prober pauses so long between two requests.
    pub(crate) fn paced(mut self, pause: Duration) -> Self {
        self.pace = Some(pause);
        self
    }

    /// All of them ask this.
    pub(crate) fn start(self, request: &[u8]) -> Shift {
        let count = self.wires.len();
        self.start_with(&vec![Arc::from(request); count])
    }

    /// Each asks one of these, in turn, and then begins anew; the first of them begins with the first, and so on.
    pub(crate) fn start_round(self, requests: &Arc<[Arc<[u8]>]>) -> Shift {
        let count = self.wires.len();
        self.spawn(move |prober| {
            let requests = requests.clone();
            let step = requests.len().div_ceil(count);
            let mut next = prober * step;
            Box::new(move || {
                let request = requests[next % requests.len()].clone();
                next += 1;
                request
            })
        })
    }

    fn start_with(self, requests: &[Arc<[u8]>]) -> Shift {
        self.spawn(|prober| {
            let request = requests[prober].clone();
            Box::new(move || request.clone())
        })
    }

    fn spawn(self, requests: impl Fn(usize) -> Box<dyn FnMut() -> Arc<[u8]> + Send>) -> Shift {
        let stop = Arc::new(AtomicBool::new(false));
        let pace = self.pace;
        let (mut said, mut tasks) = (Vec::new(), Vec::new());
        for (prober, (node, wire)) in self.wires.into_iter().enumerate() {
            let words = Arc::new(Said::default());
            let work = probe(node, wire, requests(prober), stop.clone(), words.clone(), pace);
            said.push((node, words));
            tasks.push((node, tokio::spawn(work)));
        }
        Shift {
            stop,
            said,
            tasks,
            pace,
        }
    }
}

async fn probe(
    node: usize,
    mut wire: Wire,
    mut next: Box<dyn FnMut() -> Arc<[u8]> + Send>,
    stop: Arc<AtomicBool>,
    said: Arc<Said>,
    pace: Option<Duration>,
) -> (Wire, Vec<Probe>) {
    let mut probes = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let request = next();
        let start = Instant::now();
        let status = wire.status(&request).await.unwrap_or(NO_ANSWER);
        probes.push(Probe {
            start,
            end: Instant::now(),
            status,
            node,
        });
        if said.status.swap(status, Ordering::Relaxed) == status {
            said.times.fetch_add(1, Ordering::Relaxed);
        } else {
            said.times.store(1, Ordering::Relaxed);
        }
        said.all.fetch_add(1, Ordering::Relaxed);
        match pace {
            Some(pause) => sleep(pause).await,
            // A server that is gone refuses at once, and for as long as one asks.
            None if status == NO_ANSWER => sleep(Duration::from_millis(1)).await,
            None => {}
        }
    }
    (wire, probes)
}

type Done = JoinHandle<(Wire, Vec<Probe>)>;

/// Probers at work.
#[derive(Debug)]
pub(crate) struct Shift {
    stop: Arc<AtomicBool>,
    said: Vec<(usize, Arc<Said>)>,
    tasks: Vec<(usize, Done)>,
    pace: Option<Duration>,
}

impl Shift {
    /// Waits until each prober has been told this status, at these servers; `false` when that takes too long.
    pub(crate) async fn all_hear(&self, status: u16, nodes: &[usize], patience: Duration) -> bool {
        self.all(nodes, patience, |said| {
            said.status.load(Ordering::Relaxed) == status && said.times.load(Ordering::Relaxed) > 0
        })
        .await
    }

    /// Waits until each prober has been told anything at all.
    pub(crate) async fn all_have_asked(&self, nodes: &[usize], times: usize, patience: Duration) -> bool {
        self.all(nodes, patience, |said| said.all.load(Ordering::Relaxed) >= times)
            .await
    }

    async fn all(&self, nodes: &[usize], patience: Duration, done: impl Fn(&Said) -> bool) -> bool {
        let begun = Instant::now();
        let of = |node: &usize| nodes.is_empty() || nodes.contains(node);
        while !self.said.iter().all(|(node, said)| !of(node) || done(said)) {
            if begun.elapsed() > patience {
                return false;
            }
            sleep(Duration::from_millis(1)).await;
        }
        true
    }

    /// How many requests have been answered so far.
    pub(crate) fn asked(&self) -> usize {
        self.said
            .iter()
            .map(|(_, said)| said.all.load(Ordering::Relaxed))
            .sum()
    }

    /// Ends it, once each prober has its last answer.
    pub(crate) async fn end(self) -> (Crew, Vec<Probe>) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut wires, mut all) = (Vec::new(), Vec::new());
        for (node, task) in self.tasks {
            let (wire, probes) = task.await.expect("a prober");
            wires.push((node, wire));
            all.extend(probes);
        }
        let crew = Crew {
            wires,
            pace: self.pace,
        };
        (crew, all)
    }
}

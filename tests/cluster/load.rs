//! Clients that write and read without pause, and write down what they did and saw.

use super::history::{self, Event, Time, What};
use crate::util::{Conn, Value};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Keys that all clients share: few, so that most reads find what another client wrote.
const KEYS: usize = 100;
/// A reply that takes longer will not come: its node or coordinator is frozen.
const REPLY: Duration = Duration::from_millis(2500);

/// What a variable of the environment says, which a test depends on.
pub fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Whom a client asks.
#[derive(Clone)]
pub enum Target {
    /// A coordinator, at this address.
    Coordinator(String),
    /// Any of the nodes in a list that may change; it goes where it is redirected to.
    Nodes(Arc<Mutex<Vec<String>>>),
}

/// Clients that run.
pub struct Load {
    clients: Vec<JoinHandle<Done>>,
    stop: Arc<AtomicBool>,
    /// How many requests of each were answered so far, other than by an error.
    replies: Arc<[AtomicUsize]>,
}

/// What one client, or all of them, did.
#[derive(Default)]
pub struct Done {
    pub events: Vec<Event>,
    /// Replies other than errors.
    pub replies: usize,
    /// Errors, closed connections and silence, in words.
    pub errors: Vec<String>,
}

impl Load {
    /// Starts a client for each target; the seed decides what they ask.
    pub fn start(targets: &[Target], seed: u64) -> Load {
        Load::start_with(targets, seed, |_| ())
    }

    /// The same; the thread of each, by its number among the targets, does `first` before all else.
    pub fn start_with(
        targets: &[Target],
        seed: u64,
        first: impl Fn(usize) + Clone + Send + 'static,
    ) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let replies: Arc<[AtomicUsize]> = targets.iter().map(|_| AtomicUsize::new(0)).collect();
        let (values, began) = (Arc::new(AtomicU64::new(1)), Instant::now());
        let clients = targets.iter().enumerate().map(|(number, target)| {
            let client = Client {
                target: target.clone(),
                conn: None,
                random: fastrand::Rng::with_seed(seed ^ (number as u64) << 32),
                values: values.clone(),
                began,
                done: Done::default(),
            };
            let (stop, replies, first) = (stop.clone(), replies.clone(), first.clone());
            std::thread::spawn(move || {
                first(number);
                client.run(&stop, &replies[number])
            })
        });
        Load { clients: clients.collect(), stop, replies }
    }

    /// How many requests the clients for these targets got an answer to so far, other than an error.
    pub fn replies(&self, numbers: &[usize]) -> usize {
        numbers.iter().map(|number| self.replies[*number].load(Ordering::Relaxed)).sum()
    }

    /// Stops them; all that they did.
    pub fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Done::default();
        for client in self.clients {
            let done = client.join().unwrap();
            all.events.extend(done.events);
            all.errors.extend(done.errors);
            all.replies += done.replies;
        }
        all
    }
}

impl Done {
    /// Says how many there were of what, and checks that no read was stale.
    #[track_caller]
    pub fn check(&self, seed: u64) {
        let reads = self.events.iter().filter(|event| matches!(event.what, What::Read(_)));
        let (reads, errors) = (reads.count(), self.errors.len());
        println!("{} replies, {reads} reads that found something, {errors} errors", self.replies);
        let mut kinds = std::collections::BTreeMap::<String, usize>::new();
        for error in &self.errors {
            let kind = error.split_once(": ").map_or(error.as_str(), |(_, kind)| kind);
            let kind: String = kind.chars().filter(|letter| !letter.is_ascii_digit()).collect();
            *kinds.entry(kind).or_default() += 1;
        }
        println!("{kinds:#?}");
        assert!(reads > 1000, "the cluster serves, in between");
        let wrong = history::check(&self.events);
        assert!(
            wrong.is_empty(),
            "LARDER_HISTORY_SEED={seed}: {} of {reads} reads are wrong: {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(20)]
        );
    }
}

struct Client {
    target: Target,
    conn: Option<(String, Conn)>,
    random: fastrand::Rng,
    values: Arc<AtomicU64>,
    began: Instant,
    done: Done,
}

impl Client {
    fn run(mut self, stop: &AtomicBool, replies: &AtomicUsize) -> Done {
        while !stop.load(Ordering::Relaxed) {
            self.request();
            replies.store(self.done.replies, Ordering::Relaxed);
        }
        self.done
    }

    fn now(&self) -> Time {
        self.began.elapsed().as_nanos() as Time
    }

    fn request(&mut self) {
        let key = self.random.usize(..KEYS);
        let (line, change) = match self.random.u8(..10) {
            0..3 => {
                let value = self.values.fetch_add(1, Ordering::Relaxed);
                (format!("SET key:{key} {value}"), Some(What::Set(value)))
            }
            3 => (format!("DEL key:{key}"), Some(What::Delete)),
            _ => (format!("GET key:{key}"), None),
        };
        let invoked = self.now();
        let reply = self.ask(&line);
        let returned = Some(self.now());
        let is_answered = reply.is_some();
        let what = match (change, reply) {
            (None, Some(Value::Bulk(value))) => {
                let value = std::str::from_utf8(&value).unwrap();
                What::Read(value.parse().unwrap_or_else(|_| panic!("{line}: {value}")))
            }
            (None, _) => return,
            (Some(change), _) => change,
        };
        let returned = returned.filter(|_| is_answered);
        self.done.events.push(Event { key, what, invoked, returned });
    }

    /// The reply, if there is one and it is no error.
    fn ask(&mut self, line: &str) -> Option<Value> {
        // A chain of redirections that does not end is an error, too.
        for _ in 0..5 {
            if self.conn.is_none() {
                let addr = match &self.target {
                    Target::Coordinator(addr) => addr.clone(),
                    Target::Nodes(list) => self.random.choice(&*list.lock().unwrap())?.clone(),
                };
                self.connect(addr)?;
            }
            let (addr, conn) = self.conn.as_mut()?;
            conn.send(line);
            match conn.try_read(REPLY) {
                Some(Value::Error(text)) => match text.strip_prefix("MOVED ") {
                    Some(moved) => {
                        let to = moved.split(' ').nth(1).unwrap().to_owned();
                        self.connect(to)?;
                    }
                    None => {
                        self.done.errors.push(format!("{line} at {addr}: {text}"));
                        // Else errors that come at once would be all that it does.
                        std::thread::sleep(Duration::from_millis(1));
                        if matches!(self.target, Target::Nodes(_)) {
                            self.conn = None;
                        }
                        return None;
                    }
                },
                Some(reply) => {
                    self.done.replies += 1;
                    // Every node is asked now and then for what it does not own.
                    if matches!(self.target, Target::Nodes(_)) && self.random.u8(..20) == 0 {
                        self.conn = None;
                    }
                    return Some(reply);
                }
                None => {
                    self.done.errors.push(format!("{line} at {addr}: no reply"));
                    self.conn = None;
                    return None;
                }
            }
        }
        self.done.errors.push(format!("{line}: moved again and again"));
        self.conn = None;
        None
    }

    fn connect(&mut self, addr: String) -> Option<()> {
        self.conn = Conn::try_tcp(&addr).map(|conn| (addr.clone(), conn));
        if self.conn.is_none() {
            self.done.errors.push(format!("no connection to {addr}"));
            std::thread::sleep(Duration::from_millis(20));
        }
        self.conn.as_ref().map(drop)
    }
}

//! A node that is none: it writes down what it is sent, and answers from keys that all of them share.

use crate::coordinator::merge::{elements, text};
use crate::resp::Framer;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// What a test knows of all nodes.
#[derive(Default)]
pub(super) struct World {
    keys: Mutex<HashMap<String, String>>,
    /// The node that may be asked for each slot. Where a slot is missing anybody may.
    pub(super) owners: Mutex<HashMap<u16, usize>>,
    /// What came to a node that was not to be asked.
    pub(super) strays: Mutex<Vec<String>>,
}

/// A connection to a node.
#[derive(Default)]
pub(super) struct Link {
    /// The requests, as words with spaces between them.
    pub(super) log: Mutex<Vec<String>>,
    epoch: AtomicUsize,
    answered: AtomicUsize,
    is_closed: AtomicBool,
}

impl Link {
    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }

    /// Waits until it has come here, and answers where it stands in the log.
    pub(super) fn place_of(&self, request: &str) -> usize {
        let mut found = None;
        wait_for(request, || {
            found = self.log().iter().position(|line| line == request);
            found.is_some()
        });
        found.unwrap()
    }
}

/// A node.
pub(super) struct Fake {
    pub(super) addr: String,
    number: usize,
    world: Arc<World>,
    links: Mutex<Vec<Arc<Link>>>,
    /// It reads but does not execute or answer.
    pub(super) holds: AtomicBool,
    /// It closes each connection at once.
    pub(super) refuses: AtomicBool,
}

impl Fake {
    pub(super) fn start(number: usize, world: &Arc<World>) -> Arc<Fake> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Arc::new(Fake {
            addr: listener.local_addr().unwrap().to_string(),
            number,
            world: world.clone(),
            links: Mutex::default(),
            holds: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
        });
        let node = fake.clone();
        spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                if !node.refuses.load(SeqCst) {
                    let (node, link) = (node.clone(), Arc::new(Link::default()));
                    node.links.lock().unwrap().push(link.clone());
                    spawn(move || {
                        node.serve(&link, stream);
                        link.is_closed.store(true, SeqCst);
                    });
                }
            }
        });
        fake
    }

    /// The connections that are open.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        let links = self.links.lock().unwrap();
        links.iter().filter(|link| !link.is_closed()).cloned().collect()
    }

    /// Whether a connection was ever lost.
    pub(super) fn has_lost_any(&self) -> bool {
        self.links.lock().unwrap().iter().any(|link| link.is_closed())
    }

    /// The `index`th open connection that is through with its handshake.
    pub(super) fn link(&self, index: usize) -> Arc<Link> {
        let up = || self.links().into_iter().filter(|link| link.answered.load(SeqCst) >= 4);
        wait_for("a link", || up().count() > index);
        up().nth(index).unwrap()
    }

    /// Waits as a node does before it says that it gave up slots.
    pub(super) fn all_links_at(&self, epoch: u64) {
        let at = |link: &Arc<Link>| link.epoch.load(SeqCst) as u64 >= epoch;
        wait_for("announcements", || self.links().iter().all(at));
    }

    fn serve(&self, link: &Link, mut stream: TcpStream) {
        let (mut buf, mut framer, mut queue) = (Vec::new(), Framer::default(), None);
        loop {
            let mut bytes = [0; 65536];
            match stream.read(&mut bytes) {
                Ok(read @ 1..) => buf.extend_from_slice(&bytes[..read]),
                _ => return,
            }
            let (mut at, mut out) = (0, String::new());
            while let Some(length) = framer.frame(&buf[at..]).unwrap() {
                let request = &buf[at..at + length];
                let words = elements(request).unwrap().into_iter();
                let words = words.map(|range| text(&request[range]).unwrap());
                let words: Vec<_> =
                    words.map(|word| String::from_utf8(word.to_vec()).unwrap()).collect();
                link.log.lock().unwrap().push(words.join(" "));
                while self.holds.load(SeqCst) {
                    sleep(Duration::from_millis(1));
                }
                out.push_str(&self.answer(link, &words, &mut queue));
                at += length;
            }
            buf.drain(..at);
            if stream.write_all(out.as_bytes()).is_err() {
                return;
            }
            link.answered.store(link.log().len(), SeqCst);
        }
    }

    fn answer(&self, link: &Link, words: &[String], queue: &mut Option<Vec<String>>) -> String {
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words != ["EXEC"]
            && let Some(queued) = queue
        {
            queued.push(words.join(" "));
            return "+QUEUED\r\n".to_owned();
        }
        let get = |key: &&str| {
            self.check(key, &words);
            let keys = self.world.keys.lock().unwrap();
            keys.get(*key).map_or("$-1\r\n".to_owned(), |value| bulk(value))
        };
        match words.as_slice() {
            ["LARDER", "EPOCH", epoch] => link.epoch.store(epoch.parse().unwrap(), SeqCst),
            ["SET" | "MSET", pairs @ ..] => {
                for pair in pairs.chunks_exact(2) {
                    self.check(pair[0], &words);
                    self.world.keys.lock().unwrap().insert(pair[0].to_owned(), pair[1].to_owned());
                }
            }
            ["GET", key] => return get(key),
            ["MGET", keys @ ..] => {
                let values: String = keys.iter().map(get).collect();
                return format!("*{}\r\n{values}", keys.len());
            }
            ["MULTI"] => *queue = Some(Vec::new()),
            ["EXEC"] => {
                let queued = queue.take().unwrap();
                let replies = queued.iter().map(|request| {
                    let words: Vec<_> = request.split(' ').map(str::to_owned).collect();
                    self.answer(link, &words, &mut None)
                });
                return format!("*{}\r\n{}", queued.len(), replies.collect::<String>());
            }
            ["SCAN", cursor, ..] => {
                let key = bulk(&format!("of-{}-at-{cursor}", self.number));
                let next = if *cursor == "0" { "7" } else { "0" };
                return format!("*2\r\n{}*1\r\n{key}", bulk(next));
            }
            ["DBSIZE"] => return ":1\r\n".to_owned(),
            _ => {}
        }
        "+OK\r\n".to_owned()
    }

    fn check(&self, key: &str, words: &[&str]) {
        let slot = crate::cluster::slot_of(key.as_bytes());
        if self.world.owners.lock().unwrap().get(&slot).is_some_and(|&owner| owner != self.number) {
            self.world.strays.lock().unwrap().push(format!("{}: {words:?}", self.number));
        }
    }
}

/// Waits until something has come about.
pub(super) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} does not come");
        sleep(Duration::from_micros(200));
    }
}

//! What `--metrics` serves over HTTP, on a thread of its own so that a scrape takes no worker's time: metrics for
//! Prometheus, the same report as JSON, whether the server can serve, and a dashboard for Grafana.
//!
//! Each answer is made of a fresh [`Report`]. A node makes its own. A coordinator asks itself for `LARDER STATS JSON`, over a
//! connection from within, so that the answer is what its clients get. Neither counts anything for it; the nodes of a
//! coordinator do, as it asks them by a command.

mod families;

use crate::config::Id;
use crate::resp::ArgsBuf;
use crate::server::{Door, Role, Running, Server, bind_tcp};
use crate::stats::report::{Form, Report};
use anyhow::{Context, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use families::Format;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 16;
/// Connections that may wait for that.
const BACKLOG: i32 = 64;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long a request's head may take: who says nothing keeps others from a place.
const HEAD: Duration = Duration::from_secs(2);
/// How long a connection may take, from its request to the last byte of the answer. It serves one request.
const EXCHANGE: Duration = Duration::from_secs(10);
/// How long a coordinator may take for its answer beyond what it gives its nodes, and in all.
const ANSWER: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(6);

/// What a coordinator's metrics are made of: nothing for which its nodes would have to count their keys.
const TOLD: [&str; 5] = ["server", "traffic", "commands", "errors", "nodes"];

const INDEX: &str = "Larder: metrics of this server

/metrics          for Prometheus
/stats.json       the same and more, as LARDER STATS JSON answers; a coordinator's has the whole cluster
/healthz          200 when it serves; a coordinator's 503 when no node is up
/dashboard.json   a dashboard for Grafana: import it
";
const DASHBOARD: &str = include_str!("metrics/dashboard.json");

/// Where metrics are served, bound before the server starts.
pub struct Metrics {
    listener: TcpListener,
    /// The real port where 0 was asked for.
    pub addr: SocketAddr,
}

impl Metrics {
    /// Listens on an address, as [`crate::server::Listeners`] does.
    ///
    /// # Errors
    /// The address cannot be understood, or is taken; the message says what to do.
    pub fn bind(addr: &str) -> Result<Self> {
        let listener = bind_tcp(addr, BACKLOG).map_err(|error| anyhow!("--metrics: {error:#}"))?;
        let addr = listener.local_addr().context("the address of the metrics")?;
        Ok(Metrics { listener, addr })
    }

    /// Serves the metrics of a server until it stops.
    ///
    /// # Errors
    /// A thread or its runtime cannot be had.
    pub fn serve(self, running: &mut Running) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime of the metrics")?;
        let source =
            Arc::new(Source { server: running.server.clone(), door: running.door.clone() });
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            runtime.block_on(async {
                let server = source.server.clone();
                tokio::select! {
                    () = server.stopped() => {}
                    Err(error) = accept(self.listener, source) => {
                        tracing::error!(%error, "metrics are not served any more");
                    }
                }
            });
        });
        running.adopt(thread.context("cannot start the thread of the metrics")?);
        Ok(())
    }
}

async fn accept(listener: TcpListener, source: Arc<Source>) -> Result<Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await?;
        match listener.accept().await {
            Ok((stream, _)) => {
                let source = source.clone();
                tokio::spawn(async move {
                    exchange(stream, source).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Mostly: no descriptors left.
                tracing::warn!(%error, "cannot accept a connection for metrics");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Reads a request and answers it.
async fn exchange(stream: TcpStream, source: Arc<Source>) {
    let answer = service_fn(|request| {
        let source = source.clone();
        async move { Ok::<_, Infallible>(source.answer(&request).await) }
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    match timeout(EXCHANGE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics was lost"),
        Err(_) => tracing::debug!("a connection for metrics took too long: closed"),
    }
}

/// Where answers come from.
struct Source {
    server: Arc<Server>,
    door: Door,
}

impl Source {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/" => text(StatusCode::OK, INDEX),
            "/metrics" => self.metrics(Format::accepted(request.headers())).await,
            "/stats.json" => match self.report(&[]).await {
                Ok(report) => json(serde_json::to_vec(&report).unwrap_or_default()),
                Err(error) => unavailable(&error),
            },
            "/healthz" => match self.is_healthy().await {
                Ok(true) => text(StatusCode::OK, "ok\n"),
                Ok(false) => unavailable(&anyhow!("no node is up")),
                Err(error) => unavailable(&error),
            },
            "/dashboard.json" => json(DASHBOARD),
            _ => text(StatusCode::NOT_FOUND, "there is no such page; / lists them\n"),
        }
    }

    async fn metrics(&self, format: Format) -> Response<Full<Bytes>> {
        // Its own figures are worth telling when it cannot tell the nodes'.
        let report = self.report(&TOLD).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the metrics are without those of the nodes");
            Report::of(&self.server, &Form::JSON)
        });
        match families::encode(report, format) {
            Ok(metrics) => respond(StatusCode::OK, format.content_type(), metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    /// Whether the server can serve: a node can, a coordinator needs one.
    async fn is_healthy(&self) -> Result<bool> {
        if self.server.role == Role::Node {
            return Ok(true);
        }
        Ok(self.report(&["nodes"]).await?.nodes.iter().any(|node| node.up))
    }

    /// The report of a node, or of a coordinator's whole cluster: of the latter these sections, or all where none is named.
    async fn report(&self, sections: &[&str]) -> Result<Report> {
        if self.server.role == Role::Node {
            return Ok(Report::of(&self.server, &Form::JSON));
        }
        let nodes_may_take = self.server.config.number(Id::BackendTimeoutMs);
        let limit = (Duration::from_millis(nodes_may_take) + ANSWER).min(ANSWER_MAX);
        timeout(limit, self.ask(sections))
            .await
            .map_err(|_| anyhow!("the coordinator did not answer in {limit:?}"))?
    }

    async fn ask(&self, sections: &[&str]) -> Result<Report> {
        let stream = self.door.open()?;
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream)?;
        let mut request = BytesMut::new();
        let mut words: Vec<&[u8]> = vec![b"LARDER", b"STATS", b"JSON"];
        words.extend(sections.iter().map(|section| section.as_bytes()));
        ArgsBuf::build(&words).args().encode_into(&mut request);
        stream.write_all(&request).await?;
        // Nothing more will come: it answers and closes.
        stream.shutdown().await?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await?;
        // A bulk string: its length, a line break, and the text.
        match reply.iter().position(|&byte| byte == b'\n') {
            Some(end) if reply.starts_with(b"$") => Ok(serde_json::from_slice(&reply[end..])?),
            _ => bail!("the coordinator answered {:?}", String::from_utf8_lossy(&reply)),
        }
    }
}

fn respond(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body)
}

fn json(body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(StatusCode::OK, "application/json", body)
}

fn unavailable(reason: &anyhow::Error) -> Response<Full<Bytes>> {
    text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason:#}\n"))
}

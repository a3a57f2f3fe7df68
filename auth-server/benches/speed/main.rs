//! What is promised about the speed of the authorization server, each as a ratio inside of one run, on SQLite with keys
//! for ES256.
//!
//! `cargo bench --package mcp-auth-server --bench speed` measures, prints a table and fails where a promise is not kept;
//! with `-- --write` it writes the table to `auth-server/benches/RESULTS.md` as well. Under `cargo test --benches`
//! everything runs once, with few grants, and nothing is judged. The server is a process of its own, and so is what it
//! is held against. What is compared is measured in turn, and of the ratios of all rounds the middle one counts: the
//! least is that of a lucky moment, in which both threads of the bare query had one processor, and took a fifth of the
//! time.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "bench code"
)]

mod bare;
mod database;
mod load;
mod server;
mod table;
mod tokens;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use self::{
    load::{Client, Kind, Pace},
    server::Server,
    table::{Bound, Table},
};

pub(crate) const RESOURCE: &str = "https://gw.test/mcp";
pub(crate) const SECRET: &str = "a-secret-of-the-gateway-0123456789";
/// Clients at once, unless there is one.
const CLIENTS: u64 = 64;
/// What a sync of the slow disk takes more than one of this machine's own.
const SLOW_SYNC: Duration = Duration::from_millis(4);

/// How much is done.
#[derive(Clone, Copy)]
struct Effort {
    rounds: u64,
    time: Duration,
    /// Grants in the three databases.
    few: u64,
    some: u64,
    many: u64,
    /// How often what a request is held against is done.
    bare: u64,
    /// Requests before memory is looked at.
    warm_up: u64,
}

const WHOLE: Effort = Effort {
    rounds: 7,
    time: Duration::from_secs(2),
    few: 1_000,
    some: 100_000,
    many: 1_000_000,
    bare: 10_000,
    warm_up: 20_000,
};
/// Nothing of it is judged.
const SMOKE: Effort = Effort {
    rounds: 1,
    time: Duration::from_millis(200),
    few: 200,
    some: 400,
    many: 800,
    bare: 20,
    warm_up: 200,
};

#[expect(clippy::disallowed_methods, reason = "the real server goes by the real time")]
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if let [mode, what, file, numbers @ ..] = arguments.as_slice()
        && mode == "--bare"
    {
        let number = |index: usize| numbers[index].parse().unwrap();
        bare::run(what, Path::new(file), number(0), number(1), number(2)).await;
        return ExitCode::SUCCESS;
    }
    let effort = if has("--bench") { WHOLE } else { SMOKE };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bench = Bench { effort, dir: dir.path().to_owned() };
    for (name, grants) in [("few", effort.few), ("some", effort.some), ("many", effort.many)] {
        fill(&server::prepare(&dir.path().join(name)), grants);
    }
    let mut table = Table::default();
    bench.requests(&mut table);
    bench.groups(&mut table);
    bench.memory(&mut table);
    let text = table.text();
    println!("{text}");
    if has("--write") {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md"), text).unwrap();
    }
    if has("--bench") && !table.is_kept() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What was measured in turn: microseconds of processor time, but for the capacity.
struct Round {
    /// Refreshes a second, as many as there may be.
    capacity: f64,
    signature: f64,
    rotation: f64,
    refresh: f64,
    query: f64,
    ask: f64,
    few_refresh: f64,
    many_refresh: f64,
    few_ask: f64,
    many_ask: f64,
}

struct Bench {
    effort: Effort,
    dir: PathBuf,
}

impl Bench {
    /// Processor time of requests, beside what they are held against and with few and many grants.
    fn requests(&self, table: &mut Table) {
        let Effort { few, some, many, .. } = self.effort;
        let [of_few, of_some, of_many] =
            ["few", "some", "many"].map(|name| Server::start(&self.dir.join(name), &[]));
        let file = self.dir.join("some/auth-server.db");
        let mut rounds = Vec::new();
        let mut clients = [few, some, many].map(|grants| {
            [Kind::Refresh, Kind::Introspect].map(|kind| Client::several(kind, CLIENTS, grants))
        });
        for round in 0..self.effort.rounds {
            let [[few_refresh, few_ask], [some_refresh, some_ask], [many_refresh, many_ask]] = &mut clients;
            let (refresh, capacity) = self.cost(&of_some, some_refresh);
            rounds.push(Round {
                capacity,
                refresh,
                signature: self.bare("signature", &file, some, round),
                rotation: self.bare("rotation", &file, some, round),
                query: self.bare("query", &file, some, round),
                ask: self.cost(&of_some, some_ask).0,
                few_refresh: self.cost(&of_few, few_refresh).0,
                many_refresh: self.cost(&of_many, many_refresh).0,
                few_ask: self.cost(&of_few, few_ask).0,
                many_ask: self.cost(&of_many, many_ask).0,
            });
        }
        let middle = |figure: fn(&Round) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        table.figure("one ES256 signature, µs of processor time", middle(|round| round.signature));
        table.figure(
            "the rows of a refresh in a bare prepared transaction, µs",
            middle(|round| round.rotation),
        );
        table.figure(&format!("a refresh, {CLIENTS} clients, µs"), middle(|round| round.refresh));
        table.figure(&format!("the same with {few} grants"), middle(|round| round.few_refresh));
        table.figure(&format!("the same with {many} grants"), middle(|round| round.many_refresh));
        // one of those that went before: each grant's newest token is its client's
        table.figure("a refresh, one client, µs", self.cost(&of_some, &mut clients[1][0][..1]).0);
        table.figure("the bare query of an introspection, µs", middle(|round| round.query));
        table.figure(&format!("an introspection, {CLIENTS} clients, µs"), middle(|round| round.ask));
        let wanted = "processor time of a refresh / of a signature and the bare transaction";
        let ratio = middle(|round| round.refresh / (round.signature + round.rotation));
        table.wanted(wanted, ratio, Bound::AtMost(3.0));
        table.wanted(
            "processor time of an introspection / of its bare query",
            middle(|round| round.ask / round.query),
            Bound::AtMost(2.0),
        );
        let grants = format!("{many} grants / with {few}");
        table.wanted(
            &format!("processor time of a refresh with {grants}"),
            middle(|round| round.many_refresh / round.few_refresh),
            Bound::AtMost(1.3),
        );
        table.wanted(
            &format!("processor time of an introspection with {grants}"),
            middle(|round| round.many_ask / round.few_ask),
            Bound::AtMost(1.3),
        );

        let capacity = middle(|round| round.capacity);
        table.figure("refreshes a second, as many as there may be", capacity);
        // the middle one here as well: how long this machine's disk takes is another matter in each second
        let mut halves: Vec<_> = (0..self.effort.rounds)
            .map(|_| {
                let pace = Pace::Rate(capacity / 2.0, self.effort.time);
                let half = load::run(&mut clients[1][0], of_some.address, pace);
                (half.quantile(0.99) / half.quantile(0.5), half.quantile(0.5) * 1e3)
            })
            .collect();
        halves.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (ratio, median) = halves[halves.len() / 2];
        table.figure("a refresh at half of that, median, ms", median);
        table.wanted("latency at half of the capacity, p99 / median", ratio, Bound::AtMost(10.0));
    }

    /// What many clients share of the wait for the disk. Where a sync takes less than a request, nothing can be shared;
    /// so this is about a disk that takes its time.
    fn groups(&self, table: &mut Table) {
        let slowly = self.slow_disk();
        let microseconds = SLOW_SYNC.as_micros().to_string();
        let slow = [("LD_PRELOAD", slowly.to_str().unwrap()), ("SLOW_DISK_MICROSECONDS", &microseconds)];
        let few = self.effort.few;
        for (number, (disk, environment)) in
            [("this machine's disk", &[][..]), ("a slow disk", &slow)].into_iter().enumerate()
        {
            // tokens that were used are of no use on another connection
            let dir = self.dir.join(format!("groups {number}"));
            let file = server::prepare(&dir);
            fill(&file, few);
            let server = Server::start(&dir, environment);
            let mut clients = Client::several(Kind::Refresh, CLIENTS, few);
            let (mut one, mut all) = (0_f64, 0_f64);
            for _ in 0..self.effort.rounds {
                let pace = Pace::For(self.effort.time);
                one = one.max(load::run(&mut clients[..1], server.address, pace).per_second);
                all = all.max(load::run(&mut clients, server.address, pace).per_second);
            }
            table.figure(&format!("refreshes a second on {disk}, one client"), one);
            table.figure(&format!("refreshes a second on {disk}, {CLIENTS} clients"), all);
            if number == 1 {
                let what = format!("refreshes a second of {CLIENTS} clients / of one, on {disk}");
                table.wanted(&what, all / one, Bound::AtLeast(8.0));
            }
        }
    }

    /// What stored grants cost in memory, after the same requests.
    fn memory(&self, table: &mut Table) {
        let Effort { some, warm_up, .. } = self.effort;
        let [none, all] = [("none", CLIENTS), ("memory", some)].map(|(name, grants)| {
            let dir = self.dir.join(name);
            let file = server::prepare(&dir);
            fill(&file, grants);
            let server = Server::start(&dir, &[]);
            let idle = server.resident();
            for kind in [Kind::Introspect, Kind::Refresh] {
                load::run(&mut Client::several(kind, CLIENTS, grants), server.address, Pace::Count(warm_up));
            }
            table.figure(&format!("resident memory with {grants} grants at the start, MiB"), mebibytes(idle));
            mebibytes(server.resident())
        });
        table.figure(
            &format!("the same with {CLIENTS} grants, after {warm_up} introspections and as many refreshes"),
            none,
        );
        table.figure(&format!("the same with {some} grants"), all);
        let what = format!("resident memory with {some} grants / with {CLIENTS}");
        table.wanted(&what, all / none, Bound::AtMost(1.5));
    }

    /// Processor time of a request in microseconds, and how many there were a second.
    #[expect(clippy::cast_precision_loss, reason = "a figure to be printed")]
    fn cost(&self, server: &Server, clients: &mut [Client]) -> (f64, f64) {
        let before = server.spent();
        let figures = load::run(clients, server.address, Pace::For(self.effort.time));
        ((server.spent() - before) / figures.answered as f64, figures.per_second)
    }

    /// What a process that does nothing else takes for it.
    fn bare(&self, what: &str, file: &Path, grants: u64, seed: u64) -> f64 {
        let numbers = [grants, self.effort.bare, seed].map(|number| number.to_string());
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--bare", what])
            .arg(file)
            .args(numbers)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    /// Builds what makes syncs slow.
    fn slow_disk(&self) -> PathBuf {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/speed/slow_disk.c");
        let library = self.dir.join("slow_disk.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(compiler.status().unwrap().success());
        library
    }
}

fn fill(file: &Path, grants: u64) {
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(database::fill(file, grants, now()));
    });
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be printed")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

//! `maju admin` and `maju doctor` as processes, beside a running server and without one.
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Process, WORDS, new_folder, postmaster};
use crate::testing::eventually;

/// What a command did.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs a command on a data folder, with a text on its standard input.
async fn run_with(data: &Path, words: &[&str], input: &str, settings: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process_tests::runs_as_a_command", "--nocapture"]);
    command.env(WORDS, serde_json::to_string(words).unwrap()).env("MAJU_DATA_DIR", data).envs(settings.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let wait = move || {
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(wait).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

async fn run(data: &Path, words: &[&str], input: &str) -> Ran {
    let ran = run_with(data, words, input, &[]).await;
    assert_eq!(ran.code, 0, "{words:?}: {}{}", ran.out, ran.err);
    ran
}

/// Signs in over REST, as a browser. Returns the answer.
async fn sign_in(server: &Process, handle: &str, password: &str) -> String {
    let (_, answer) = server.ask("GET", "/api/v1/me", "", None).await;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let body = json!({"handle": handle, "password": password});
    server.ask("POST", "/api/v1/sign-in", cookie, Some(body)).await.1
}

#[tokio::test]
async fn accounts_are_managed_while_the_server_runs_and_while_it_does_not() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let password = "correct horse battery";
    let added =
        run(&data, &["admin", "add", "min", "--role", "admin", "--password-stdin"], &format!("{password}\n")).await;
    assert!(
        added.out.contains("'min' (admin) exists now") && !added.err.contains("maju: "),
        "{}{}",
        added.out,
        added.err
    );
    assert!(postmaster(&data).is_none(), "Postgres is stopped with the command that started it");

    let log = folder.path().join("log");
    let stderr = Stdio::from(fs::File::create(&log).unwrap());
    let mut server = Process::start_in(folder, &[], stderr, &[]);
    server.ready().await;
    assert!(!fs::read_to_string(&log).unwrap().contains("/admin/setup"), "there is an administrator");
    let postgres = server.postmaster().unwrap();
    assert!(sign_in(&server, "min", password).await.contains("enroll_totp"));
    let add = ["admin", "add", "jia", "--role", "member", "--password-stdin"];
    run(&data, &add, &format!("{password}\r\n")).await;
    assert!(sign_in(&server, "jia", password).await.contains("\"done\":true"));
    let link = run(&data, &["admin", "reset", "jia"], "").await;
    assert!(link.out.contains("/reset/") && link.out.contains("for 24 hours"), "{}", link.out);
    assert!(sign_in(&server, "jia", password).await.contains("wrong_credentials"));
    run(&data, &["admin", "role", "jia", "editor"], "").await;
    let last = run(&data, &["admin", "role", "min", "member"], "").await;
    assert!(last.out.contains("There is no administrator left"), "{}", last.out);
    let listed = run(&data, &["admin", "list"], "").await.out;
    assert!(listed.contains("jia     editor  active  no") && listed.contains("staff: 1, members: 1"), "{listed}");

    let refused = run_with(&data, &["admin", "add", "jia", "--role", "editor"], "", &[]).await;
    assert!(refused.code == 1 && refused.err.contains("maju admin role jia editor"), "{}", refused.err);
    let refused = run_with(&data, &["admin", "reset", "sora"], "", &[]).await;
    assert!(refused.code == 1 && refused.err.contains("there is no account 'sora' in PostgreSQL"), "{}", refused.err);
    let empty = run_with(&data, &["admin", "reset", "jia", "--password-stdin"], "\n", &[]).await;
    assert!(empty.code == 1 && empty.err.contains("standard input is empty"), "{}", empty.err);
    let weak = run_with(&data, &["admin", "reset", "jia", "--password-stdin"], "password\n", &[]).await;
    assert!(weak.code == 1 && !weak.err.contains("password\n"), "{}", weak.err);

    // A link names the site as the running server does, although the command has no such setting.
    let granted = run(&data, &["admin", "reset", "jia"], "").await.out;
    assert!(granted.contains(&format!("http://localhost:{}/reset/", server.port)), "{granted}");

    assert_eq!(server.postmaster(), Some(postgres), "the server's Postgres was joined and left alone");
    server.two_meet_and_talk().await;
    let folder = server.stop().await;
    let listed = run(&data, &["admin", "list", "--legacy"], "").await.out;
    assert!(listed.contains("that are left: 0"), "{listed}");
    drop(folder);
}

#[tokio::test]
async fn a_server_that_starts_during_a_command_goes_on_when_the_command_ends() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let file = folder.path().join("people.csv");
    let rows: String = (0..20_000).map(|n| format!("person{n}\n")).collect();
    fs::write(&file, format!("handle\n{rows}")).unwrap();
    let starting = async {
        while postmaster(&data).is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Process::start_in(folder, &[], Stdio::null(), &[])
    };
    let words = ["admin", "import", file.to_str().unwrap()];
    let (imported, mut server) = tokio::join!(run(&data, &words, ""), starting);
    assert!(
        imported.out.contains("Accounts imported: 20000") && imported.err.contains("10000 of 20000"),
        "{}",
        imported.out
    );
    // The server starts Postgres again at once; the answer of `/readyz` is at most two seconds old.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.ready().await;
    server.two_meet_and_talk().await;
    server.signal(Signal::TERM);
    assert_eq!(server.end().await.code(), Some(0));
}

#[tokio::test]
async fn each_start_without_an_administrator_logs_another_link() {
    let mut folder = new_folder();
    let mut links = Vec::new();
    for start in 0..2 {
        let log = folder.path().join(format!("log{start}"));
        let stderr = Stdio::from(fs::File::create(&log).unwrap());
        let mut server = Process::start_in(folder, &[], stderr, &[("MAJU_LOG", "pretty")]);
        server.ready().await;
        let lines = || {
            let text = fs::read_to_string(&log).unwrap();
            text.lines().filter(|line| line.contains("/admin/setup?token=")).map(str::to_owned).collect::<Vec<_>>()
        };
        // It is logged after the server is ready, by a thread of its own.
        eventually("the link is logged", || async { !lines().is_empty() }).await;
        assert_eq!(lines().len(), 1);
        links.push(lines()[0].split("token=").nth(1).unwrap().trim().to_owned());
        folder = server.stop().await;
    }
    assert!(links[0] != links[1] && links.iter().all(|token| token.len() == 43), "{links:?}");
}

#[tokio::test]
async fn a_bad_row_is_reported_and_nothing_is_imported() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let bad = write("bad.csv", "handle,email\nmin,min@example.org\njia,nonsense\nab,\n");
    let refused = run_with(&data, &["admin", "import", &bad], "", &[]).await;
    assert_eq!(refused.code, 1);
    for part in ["line 3: the mail address", "line 4: the handle 'ab'", "Nothing was imported"] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    let users = json!([{"model": "auth.user", "pk": 1, "fields": {"username": "Min.Su", "password": "!"}}]).to_string();
    let file = write("users.json", &users);
    let trial = run(&data, &["admin", "import", &file, "--dry-run"], "").await;
    assert!(trial.out.contains("Min.Su signs in as min_su") && trial.out.contains("This was a trial"), "{}", trial.out);
    let done = run(&data, &["admin", "import", &file], "").await;
    assert!(done.out.contains("Accounts imported: 1\n") && done.out.contains("without a password: 1"), "{}", done.out);
    let listed = run(&data, &["admin", "list"], "").await.out;
    assert!(listed.contains("staff: 0, members: 1"), "{listed}");
    let missing = run_with(&data, &["admin", "import", "/nowhere/users.csv"], "", &[]).await;
    assert!(missing.code == 1 && missing.err.contains("cannot read /nowhere/users.csv"), "{}", missing.err);
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_with_a_code_for_scripts() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let fresh = run(&data, &["doctor"], "").await;
    assert!(fresh.out.contains("there is no database in"), "{}", fresh.out);
    assert!(!data.exists(), "the doctor creates nothing");
    let mut server = Process::start_in(folder, &[], Stdio::null(), &[]);
    server.ready().await;
    let json = run(&data, &["doctor", "--json"], "").await.out;
    let json: Value = serde_json::from_str(&json[json.find("[\n").unwrap()..]).unwrap();
    let states: Vec<(&str, &str)> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["check"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    let expected = [
        ("settings", "ok"),
        ("database", "ok"),
        ("clock", "ok"),
        ("schema", "ok"),
        ("audit", "ok"),
        ("mail", "warning"),
    ];
    assert_eq!(states, expected, "{json}");
    let dead = [("REDIS_URL", "redis://127.0.0.1:1")];
    let wrong = run_with(&data, &["doctor"], "", &dead).await;
    assert!(
        wrong.code == 1 && wrong.out.contains("wrong    redis") && wrong.out.contains("to mend it: "),
        "{}",
        wrong.out
    );
    let wrong = run_with(&data, &["doctor", "--json"], "", &[("MAJU_LISTEN", "nonsense")]).await;
    assert!(wrong.code == 1 && wrong.out.contains("\"check\": \"settings\""), "{}", wrong.out);
    server.two_meet_and_talk().await;
    server.stop().await;
}

//! A page in a real browser, without a window, clicked through by a script.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

const CLICKS: &str = include_str!("clicks.js");
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What the script wrote down, by name; several lines may have one name.
#[derive(Debug)]
pub struct Told(BTreeMap<String, Vec<String>>);

impl Told {
    /// Everything under a name.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The one line of a name.
    pub fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "one line `{name}`: {self:#?}");
        &all[0]
    }

    /// The one number of a name.
    pub fn number(&self, name: &str) -> u64 {
        self.one(name)
            .parse()
            .unwrap_or_else(|_| panic!("a number: {name} {self:#?}"))
    }
}

/// What the script looks for: a key, a node, and a time.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub key: &'a str,
    pub node: usize,
    pub at_us: u64,
}

/// Clicks through a page. `None`, with the reason printed, where there is no Chromium.
pub fn click_through(name: &str, page: &str, wanted: &Wanted<'_>) -> Option<Told> {
    let works = |browser: &&str| {
        Command::new(browser)
            .arg("--version")
            .output()
            .is_ok_and(|out| out.status.success())
    };
    let Some(browser) = NAMES.into_iter().find(|browser| works(browser)) else {
        eprintln!("skipped: there is no Chromium here (looked for {})", NAMES.join(", "));
        return None;
    };
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).expect("a folder for the page");
    let file = dir.join("page.html");
    std::fs::write(&file, with_script(page, wanted)).expect("the page is written");
    // Without its sandbox it runs for root too; the page is our own.
    let out = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args(["--window-size=1600,950", "--virtual-time-budget=60000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8_lossy(&out.stdout);
    let told = dom
        .split_once("<pre id=\"told\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"));
    let (told, _) = told.unwrap_or_else(|| {
        let errors = String::from_utf8_lossy(&out.stderr);
        panic!(
            "the script came to its end in {}: {errors}\n{:.2000}",
            file.display(),
            dom
        )
    });
    let told = told.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in told.lines().filter_map(|line| line.split_once(": ")) {
        lines.entry(name.into()).or_default().push(value.into());
    }
    Some(Told(lines))
}

fn with_script(page: &str, wanted: &Wanted<'_>) -> String {
    let Wanted { key, node, at_us } = wanted;
    // Without a window hardly any frame is due, so frames are timers: in virtual time they come one after the other.
    let before = "<script>
        const wrong = [];
        addEventListener('error', (event) => wrong.push(event.message));
        window.requestAnimationFrame = (draw) => setTimeout(draw, 16);
        </script>";
    let after = format!("<script>const WANTED = {{ key: {key:?}, node: {node}, at: {at_us} }};\n{CLICKS}</script>");
    let (head, rest) = page.split_once("<head>").expect("a head");
    let (body, end) = rest.rsplit_once("</body>").expect("a body");
    format!("{head}<head>{before}{body}{after}</body>{end}")
}

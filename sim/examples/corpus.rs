//! Writes the inputs that a corpus begins with: `cargo run -p sim --example corpus -- fuzz/corpus`.

use std::path::Path;
use std::{env, fs, io};

use kernel::env::SeededRng;
use sim::fuzz::valid_frames;

const FILTERS: [&str; 5] = [
    "state=CA and latitude > 35",
    "name like \"%Muni%\" or not (a.b in (1, 2.5, x))",
    "`odd name` is not null and tags contains any (x, 2)",
    "a between 1 and 2 and b is null",
    "a contains \"x\" and (b != true or c <= -1e3)",
];

fn main() -> io::Result<()> {
    let dir = env::args().nth(1).unwrap_or_else(|| "fuzz/corpus".into());
    let frames = valid_frames().into_iter();
    let filters = FILTERS.iter().map(|text| text.as_bytes().to_vec());
    write(&Path::new(&dir).join("wire_decode"), frames.chain(filters))?;
    let mut rng = SeededRng::from_u64(2);
    let runs = (0..24).map(|_| {
        let mut bytes = vec![0; 700];
        rng.fill(&mut bytes);
        bytes
    });
    write(&Path::new(&dir).join("node_step"), runs)
}

fn write(dir: &Path, inputs: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (number, input) in inputs.enumerate() {
        fs::write(dir.join(format!("seed-{number:02}")), input)?;
    }
    Ok(())
}

//! Gives the kernel a name for its own sources, so that a recording says which kernel made it.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=Cargo.toml");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo gives it"));
    let mut files = vec![root.join("Cargo.toml")];
    sources(&root.join("src"), &mut files);
    // By the path below the root: the same sources have the same name wherever they lie.
    let mut named: Vec<_> = files.iter().map(|file| (below(&root, file), file)).collect();
    named.sort();
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for (name, file) in named {
        let content = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        // A checkout may have changed the ends of lines.
        let content = content.replace("\r\n", "\n");
        for part in [name.as_bytes(), content.as_bytes()] {
            hash.take(&(part.len() as u64).to_le_bytes());
            hash.take(part);
        }
    }
    println!("cargo:rustc-env=ORRERY_KERNEL_SOURCES={:016x}", hash.0);
}

fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("a readable folder").path();
        match path.is_dir() {
            true => sources(&path, files),
            false => files.push(path),
        }
    }
}

fn below(root: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(root).unwrap_or(file);
    let parts = inside.iter().map(|part| part.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo): it tells builds apart, and nobody is going to forge one.
struct Fnv(u64);

impl Fnv {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

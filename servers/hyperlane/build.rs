//! What the program says of itself (`uses`): which compiler and which versions of hyperlane and tokio it is made of.

use std::{env, fs, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    let rustc = env::var("RUSTC").expect("cargo says which rustc");
    let said = Command::new(rustc).arg("--version").output().expect("rustc runs");
    println!(
        "cargo:rustc-env=RTBENCH_RUSTC={}",
        String::from_utf8_lossy(&said.stdout).trim()
    );
    let lock = fs::read_to_string("Cargo.lock").expect("Cargo.lock is beside Cargo.toml");
    for package in ["hyperlane", "tokio"] {
        println!(
            "cargo:rustc-env=RTBENCH_{}={}",
            package.to_uppercase(),
            version(&lock, package)
        );
    }
}

/// The version of `package` in a lock file: the line after its name.
fn version<'a>(lock: &'a str, package: &str) -> &'a str {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    lines
        .next()
        .and_then(|line| line.strip_prefix("version = \""))
        .and_then(|line| line.strip_suffix('"'))
        .unwrap_or_else(|| panic!("Cargo.lock has no {package}"))
}

//! The control plane of the tests itself.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn admit_nothing_after_the_end_of_the_program_that_started_the_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut program = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    let mut child = program.arg(&data).stdout(Stdio::piped()).spawn().unwrap();
    let mut kubeconfig = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut kubeconfig).unwrap();
    let text = std::fs::read_to_string(kubeconfig.trim()).unwrap();
    let address = text.split_once("https://").unwrap().1.split('"').next().unwrap().to_owned();
    std::net::TcpStream::connect(&address).unwrap();

    // SIGKILL: nothing in the program can clean up.
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = std::time::Instant::now() + berth_tests::process::PATIENCE;
    while data.exists() || std::net::TcpStream::connect(&address).is_ok() {
        assert!(std::time::Instant::now() < deadline, "the servers outlive their program, or their files do");
        std::thread::sleep(Duration::from_millis(50));
    }
}

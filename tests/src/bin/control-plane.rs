//! A Kubernetes control plane with Berth's definitions, roles and admission policies, for trying things by hand:
//! `make cluster` starts it. It prints the path of a kubeconfig once it is ready, and ends, with its files, when it is told
//! to.

use anyhow::Context as _;
use berth_tests::control_plane::ControlPlane;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: control-plane FOLDER, which is deleted at the end");
    };
    std::fs::create_dir_all(&folder)?;
    let folder = std::fs::canonicalize(&folder).with_context(|| folder.clone())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let plane = ControlPlane::start(&folder).await?;
    println!("{}", plane.kubeconfig().display());
    tokio::select! {
        _ = terminated.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

//! Rewrites every generated file of the repository: the definitions under `crds/manifests/`, the roles under
//! `charts/berth/files/`, the examples under `examples/` and the reference of all fields, `docs/fields.md`. Tests compare
//! the committed files with what this program would write.
//!
//! `cargo run -p berth-crds --bin crdgen`

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(argument) = env::args().nth(1) {
        return Err(
            format!("crdgen takes no arguments, not \"{argument}\": it rewrites the generated files in place").into()
        );
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the crate lies in the workspace")?;
    for (path, text) in berth_crds::generated::files() {
        let path = root.join(path);
        if fs::read_to_string(&path).is_ok_and(|before| before == text) {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}

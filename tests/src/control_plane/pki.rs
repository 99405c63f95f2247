//! Throwaway authorities and certificates: made in milliseconds, of use to nobody once the folder is gone.

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use std::path::{Path, PathBuf};

/// Names and addresses that a server of the control plane is reached by; 10.96.0.1 is the Service `kubernetes`.
const SERVER_NAMES: [&str; 6] = [
    "127.0.0.1",
    "10.96.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// The files of a control plane's keys: `<name>.crt` and `<name>.key`.
#[derive(Debug)]
pub(super) struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes everything that the servers and an administrator need, in `folder`.
    pub(super) fn create(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let pki = Self { folder };
        // Two authorities: whoever may talk to the API server may not, by that, talk to its database.
        let cluster = pki.authority("cluster-ca")?;
        let database = pki.authority("etcd-ca")?;
        pki.leaf("etcd", &database, &[], true)?;
        pki.leaf("etcd-client", &database, &[(DnType::CommonName, "kube-apiserver")], false)?;
        pki.leaf("apiserver", &cluster, &[(DnType::CommonName, "kube-apiserver")], true)?;
        let admin = [(DnType::OrganizationName, "system:masters"), (DnType::CommonName, "admin")];
        pki.leaf("admin", &cluster, &admin, false)?;
        pki.leaf("controllers", &cluster, &[(DnType::CommonName, "system:kube-controller-manager")], false)?;
        // What ServiceAccount tokens are signed with.
        let tokens = KeyPair::generate()?;
        pki.write("service-account.key", &tokens.serialize_pem())?;
        pki.write("service-account.pub", &tokens.public_key_pem())?;
        Ok(pki)
    }

    /// The path of one of the files.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Writes a kubeconfig that logs in to `server` with the certificate `name`, and returns its path.
    pub(super) fn kubeconfig(&self, name: &str, server: &str) -> anyhow::Result<PathBuf> {
        let path = |suffix: &str| self.path(&format!("{name}.{suffix}"));
        let file = path("kubeconfig");
        let text = format!(
            "apiVersion: v1\n\
             kind: Config\n\
             current-context: berth\n\
             clusters:\n\
             - {{name: berth, cluster: {{server: \"{server}\", certificate-authority: \"{}\"}}}}\n\
             contexts:\n\
             - {{name: berth, context: {{cluster: berth, user: {name}}}}}\n\
             users:\n\
             - {{name: {name}, user: {{client-certificate: \"{}\", client-key: \"{}\"}}}}\n",
            self.path("cluster-ca.crt").display(),
            path("crt").display(),
            path("key").display(),
        );
        write_private(&file, &text)?;
        Ok(file)
    }

    fn authority(&self, name: &str) -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject(&[(DnType::CommonName, name)]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        self.write(&format!("{name}.crt"), &authority.pem())?;
        self.write(&format!("{name}.key"), &authority.key().serialize_pem())?;
        Ok(authority)
    }

    fn leaf(
        &self,
        name: &str,
        authority: &CertifiedIssuer<'_, KeyPair>,
        of: &[(DnType, &str)],
        serves: bool,
    ) -> anyhow::Result<()> {
        let names = if serves { SERVER_NAMES.map(str::to_owned).to_vec() } else { Vec::new() };
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = subject(of);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if serves {
            parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let key = KeyPair::generate()?;
        self.write(&format!("{name}.crt"), &parameters.signed_by(&key, authority)?.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        write_private(&self.path(file), text)
    }
}

fn subject(of: &[(DnType, &str)]) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    for (attribute, value) in of {
        subject.push(attribute.clone(), *value);
    }
    subject
}

/// Writes a file that only its owner may read, whatever the umask says.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

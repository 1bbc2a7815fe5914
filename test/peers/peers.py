# What Python's cryptography and py-spiffe say of our certificates and of the Workload API.
#   cryptography DIR   every chain and key that main.ts put there
#   workload           an X509Source over the socket in SPIFFE_ENDPOINT_SOCKET, for a while
import json
import sys
import time


def cryptography_says(directory):
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.verification import PolicyBuilder, Store

    root = x509.load_pem_x509_certificate(open(f"{directory}/root.pem", "rb").read())
    for name in ("web", "gate", "batch"):
        chain = x509.load_pem_x509_certificates(open(f"{directory}/{name}/chain.pem", "rb").read())
        chain[0].verify_directly_issued_by(chain[1])
        chain[1].verify_directly_issued_by(root)
        key = load_pem_private_key(open(f"{directory}/{name}/key.pem", "rb").read(), None)
        assert key.public_key() == chain[0].public_key()
        builder = PolicyBuilder().store(Store([root]))
        if name == "gate":
            builder.build_server_verifier(x509.DNSName("gate.shop.example")).verify(chain[0], chain[1:])
        else:
            builder.build_client_verifier().verify(chain[0], chain[1:])
        print(f"{name} verified")
    load_pem_private_key(open(f"{directory}/root-key.pem", "rb").read(), open(f"{directory}/pass", "rb").read().strip())
    crl = x509.load_der_x509_crl(open(f"{directory}/peer.crl", "rb").read())
    issuer = x509.load_pem_x509_certificate(open(f"{directory}/peer.pem", "rb").read())
    assert crl.is_signature_valid(issuer.public_key())
    print("list verified")


def workload_says():
    from spiffe import X509Source

    with X509Source() as source:
        last = None
        end = time.time() + 20
        while time.time() < end:
            svid = source.svid
            serial = format(svid.leaf.serial_number, "x")
            if serial != last:
                last = serial
                print(json.dumps({"id": str(svid.spiffe_id), "serial": serial}), flush=True)
            time.sleep(0.1)


{"cryptography": lambda: cryptography_says(sys.argv[2]), "workload": workload_says}[sys.argv[1]]()

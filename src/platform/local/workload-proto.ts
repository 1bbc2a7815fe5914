// The SPIFFE Workload API as a protobuf descriptor (SPIFFE_Workload_API.md, workload.proto). The JWT half is not served.
const message = (fields: Record<string, object>): object => ({ fields });
const one = (type: string, id: number): object => ({ type, id });
const many = (type: string, id: number): object => ({ rule: 'repeated', type, id });
const map = (type: string, id: number): object => ({ keyType: 'string', type, id });

export const WORKLOAD_API = {
  nested: {
    X509SVIDRequest: message({}),
    X509SVIDResponse: message({ svids: many('X509SVID', 1), crl: many('bytes', 2), federatedBundles: map('bytes', 3) }),
    X509SVID: message({
      spiffeId: one('string', 1),
      x509Svid: one('bytes', 2),
      x509SvidKey: one('bytes', 3),
      bundle: one('bytes', 4),
      hint: one('string', 5),
    }),
    X509BundlesRequest: message({}),
    X509BundlesResponse: message({ crl: many('bytes', 1), bundles: map('bytes', 2) }),
    SpiffeWorkloadAPI: {
      methods: {
        FetchX509SVID: { requestType: 'X509SVIDRequest', responseType: 'X509SVIDResponse', responseStream: true },
        FetchX509Bundles: { requestType: 'X509BundlesRequest', responseType: 'X509BundlesResponse', responseStream: true },
      },
    },
  },
};

// The version word of every document that is read or printed. Additive changes only within one.
export const API_VERSION = 'meshctl.dev/v1';

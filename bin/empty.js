// Stands where react-devtools-core would: ink asks for it only while somebody debugs ink.
export default {};

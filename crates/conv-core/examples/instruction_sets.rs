//! Prints the instruction sets that the kernels can use on this machine, fastest first.

fn main() {
    for isa in conv_core::Isa::available() {
        println!("{}", isa.name());
    }
}

use conv_core::blocked::{Buffer, DirectConv2d, Layout, View, ViewMut, Winograd, WinogradConv2d};
use conv_core::{Activation, Conv2dOptions, Isa, Padding, PaddingValue};
use rayon::prelude::*;
use std::time::Instant;
use testkit::{Conv2dProblem, to_f32};
fn main() {
    let threads: usize = std::env::args().nth(1).map_or(1, |x| x.parse().unwrap());
    let check = std::env::args().nth(2).is_some();
    let isa = Isa::from_env().unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| {
    for (batch, c, o, map, alg) in [
        (1, 64, 64, 56, Winograd::F4x3), (1, 128, 128, 28, Winograd::F4x3), (1, 256, 256, 14, Winograd::F4x3), (1, 256, 256, 14, Winograd::F2x3),
        (1, 512, 512, 7, Winograd::F4x3), (1, 512, 512, 7, Winograd::F2x3), (1, 1024, 1024, 19, Winograd::F4x3), (1, 512, 1024, 19, Winograd::F4x3), (1, 256, 512, 38, Winograd::F4x3), (1, 128,256,76, Winograd::F4x3), (1, 32, 64, 304, Winograd::F4x3),
        (1, 64, 192, 56, Winograd::F4x3), (1, 96, 128, 28, Winograd::F4x3),(1, 16, 32, 28, Winograd::F2x5),(1, 48, 64, 35, Winograd::F2x5),(8, 256, 256, 14, Winograd::F4x3), (8, 64, 64, 56, Winograd::F4x3), (8, 512, 512, 7, Winograd::F4x3),
    ] {
        let kernel = if alg == Winograd::F2x5 { 5 } else { 3 };
        let problem = Conv2dProblem { bias: false, seed: 1, ..Conv2dProblem::layer(batch, [c, o], [map, map], kernel, 1, 1) };
        let weight = to_f32(problem.weight().view());
        let input = to_f32(problem.input().view()).mapv(|x| x.max(0.0));
        let options = Conv2dOptions { padding: Padding::all(kernel / 2), ..Default::default() };
        let direct = DirectConv2d::new(weight.view(), None, &options, Activation::Relu, isa).unwrap();
        let wino = WinogradConv2d::new(alg, weight.view(), None, &options, Activation::Relu, isa).unwrap();
        let il = Layout::blocked(batch, c, [map, map]).with_halo(wino.halo([map, map]).unwrap());
        let il2 = Layout::blocked(batch, c, [map, map]).with_halo(direct.halo([map, map]).unwrap());
        let ol = Layout::blocked(batch, o, [map, map]).with_halo([1; 4]);
        let mut a = Buffer::zeroed(il.len()).unwrap();
        let mut a2 = Buffer::zeroed(il2.len()).unwrap();
        il.import(input.view(), PaddingValue::Zeros, &mut a).unwrap();
        il2.import(input.view(), PaddingValue::Zeros, &mut a2).unwrap();
        let mut b = Buffer::zeroed(ol.len()).unwrap();
        let mut b2 = Buffer::zeroed(ol.len()).unwrap();
        let mut scratch = Buffer::zeroed(wino.scratch_len(&il, threads).unwrap()).unwrap();
        let mut w = || wino.run(View::new(il, &a).unwrap(), None, ViewMut::new(ol, &mut b).unwrap(), &mut scratch).unwrap();
        let mut d = || direct.run(View::new(il2, &a2).unwrap(), ViewMut::new(ol, &mut b2).unwrap()).unwrap();
        w(); d();
        let (mut tw, mut td, mut tp) = (vec![], vec![], vec![]);
        let macs = (batch * c * o * kernel * kernel * map * map) as f64;
        let rounds = ((4e9 / macs) as usize).clamp(5, 200);
        for _ in 0..rounds {
            let s = Instant::now(); w(); tw.push(s.elapsed().as_secs_f64());
            let s = Instant::now(); d(); td.push(s.elapsed().as_secs_f64());
            let s = Instant::now(); let f: u64 = (0..threads).into_par_iter().map(|_| isa.run_multiply_adds(20000)).sum(); tp.push(f as f64 / s.elapsed().as_secs_f64());
        }
        let med = |v: &mut Vec<f64>| { v.sort_by(f64::total_cmp); v[v.len() / 2] };
        let (tw, td, tp) = (med(&mut tw), med(&mut td), med(&mut tp));
        let mut err = String::new();
        if check {
            let conv = conv_core::plain::conv2d(input.mapv(f64::from).view(), weight.mapv(f64::from).view(), None, &options).unwrap().mapv(|x: f64| x.max(0.0));
            let rms = |data: &[f32]| { let mut got = ndarray::Array4::<f32>::zeros((batch, o, map, map)); ol.export(data, got.view_mut()).unwrap();
                let e: f64 = got.iter().zip(&conv).map(|(g, c)| (f64::from(*g) - c).powi(2)).sum(); (e / conv.iter().map(|c| c * c).sum::<f64>()).sqrt() };
            err = format!(" rms {:.2e} direct {:.2e}", rms(&b), rms(&b2));
        }
        println!("{batch} {c:5}->{o:5} {map:4} {alg:?}: wino {:8.3} ms direct {:8.3} ms  x{:.2}  direct {:4.1} % wino {:5.1} % of peak{err}", tw * 1e3, td * 1e3, td / tw, 200.0 * macs / td / tp, 200.0 * macs / tw / tp);
    }
    });
}

// Copies of whole tensors: conversion, clone, contiguous, copy_.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// x itself when it has that type already.
Tensor to_dtype(const Tensor& x, DType dtype);
// A row-major copy.
Tensor clone(const Tensor& x);
// x itself when it is row-major, else a copy.
Tensor contiguous(const Tensor& x);
// self = src, converted and broadcast, in place.
void copy_(const Tensor& self, const Tensor& src);
void fill_(const Tensor& self, Scalar value);

Tensor full(DimSpan shape, Scalar value, DType dtype);
Tensor ones_like(const Tensor& x);

}  // namespace fastgrad

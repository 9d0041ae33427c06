// Copies of whole tensors: conversion, clone, contiguous, copy_.
#pragma once

#include "core/elementwise.h"
#include "ops/creation.h"

namespace fastgrad {

// x itself when it has that type already.
Tensor to_dtype(const Tensor& x, DType dtype);
// A converted copy, even when nothing is to be converted.
Tensor to_copy(const Tensor& x, DType dtype, MemoryFormat format = MemoryFormat::Preserve);
Tensor clone(const Tensor& x, MemoryFormat format = MemoryFormat::Contiguous);
// x itself when its elements lie in that order, else a copy.
Tensor contiguous(const Tensor& x, MemoryFormat format = MemoryFormat::Contiguous);
// self = src, converted and broadcast, in place.
void copy_(const Tensor& self, const Tensor& src);
// Every element becomes value, which is a number or a tensor of no dimensions.
void fill_(const Tensor& self, const Operand& value);

}  // namespace fastgrad

// Programs as dictionaries, lists, numbers and tensors: what is written to files.
//
// The form is described in docs/internals/program-files.md.
#pragma once

#include "bindings/python.h"
#include "program/passes.h"

namespace fastgrad::py {

// Storages, instructions and results of a task, as a dictionary. Fails when an instruction has no
// form in files.
Object encode_task(const Graph& g, std::span<const Place> results);
// The way back. Whatever is wrong with it fails as a ValueError; the graph is checked as a whole.
// Memory outside gets its numbers in the order of the storages.
Task decode_task(PyObject* form);

Object encode_place(const Place& p);
Place decode_place(PyObject* form);

// Access to what a file says, with errors that name it.
PyObject* item_of(PyObject* dict, const char* key);
int64_t integer_of(PyObject* o, const char* what);
std::string text_of_form(PyObject* o, const char* what);
// A list's items; fails when it is none.
std::span<PyObject*> items_of_list(PyObject* o, const char* what);

}  // namespace fastgrad::py

#include "kernels/cpu/bag_lines.h"
#include "kernels/cpu/bag_lines.inc"

namespace fastgrad {
const BagTable kBagsBaseline = bag_kernels();
}

// Who holds the GIL, beside AcquireGil and ReleaseGil in python.h.
#pragma once

namespace fastgrad::py {

// Tells base/long_work.h how to let other Python threads run.
void install_long_work();

}  // namespace fastgrad::py

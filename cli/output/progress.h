// One line that changes in place while something goes on.
#pragma once

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "cli/output/terminal.h"
#include "common/time/clock.h"

namespace crossover::cli {

// On a terminal redraws one line of `err`, at most ten times a second; elsewhere prints a line
// every ten seconds, so that logs stay short. Not thread-safe. Borrows both arguments.
class ProgressLine {
 public:
  ProgressLine(const Terminal& terminal, Clock& clock);
  ~ProgressLine();  // Finish()

  // Shows `text`; the last one before Finish is always shown.
  void Update(std::string text);
  // Prints a line above the progress line.
  void Note(std::string_view line);
  // Draws the last text and moves to a new line. Idempotent.
  void Finish();

 private:
  void Draw();

  const Terminal& terminal_;
  Clock& clock_;
  std::string text_;
  bool shown_ = true;  // text_ has been drawn
  bool any_ = false;   // something is on the line
  absl::Duration last_ = -absl::InfiniteDuration();
};

// "[█████▌    ]" of `columns` inner columns; plain ASCII when `unicode` is off.
std::string Bar(double share, int columns, bool unicode);

}  // namespace crossover::cli

#include "cli/output/progress.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ostream>
#include <utility>

#include "cli/output/width.h"

namespace crossover::cli {
namespace {

constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr absl::Duration kLogLine = absl::Seconds(10);

}  // namespace

ProgressLine::ProgressLine(const Terminal& terminal, Clock& clock)
    : terminal_(terminal), clock_(clock) {}

ProgressLine::~ProgressLine() { Finish(); }

void ProgressLine::Update(std::string text) {
  if (text == text_) return;
  text_ = std::move(text);
  shown_ = false;
  const absl::Duration now = clock_.SteadyNow();
  if (now - last_ < (terminal_.err_is_terminal ? kRedraw : kLogLine)) return;
  last_ = now;
  Draw();
}

void ProgressLine::Draw() {
  shown_ = true;
  if (terminal_.err_is_terminal) {
    terminal_.err << '\r' << Truncated(text_, std::max(1, terminal_.width - 1)) << "\x1b[K"
                  << std::flush;
    any_ = true;
  } else {
    terminal_.err << text_ << '\n' << std::flush;
  }
}

void ProgressLine::Note(std::string_view line) {
  if (any_) terminal_.err << "\r\x1b[K";
  terminal_.err << line << '\n';
  if (any_) Draw();
}

void ProgressLine::Finish() {
  if (!shown_) Draw();
  if (any_) terminal_.err << '\n' << std::flush;
  any_ = false;
}

std::string Bar(double share, int columns, bool unicode) {
  static constexpr std::array<const char*, 8> kParts = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  share = std::clamp(std::isfinite(share) ? share : 0.0, 0.0, 1.0);
  const int eighths = static_cast<int>(std::floor(share * columns * 8));
  std::string bar = "[";
  for (int i = 0; i < eighths / 8; ++i) bar += unicode ? "█" : "#";
  int drawn = eighths / 8;
  if (unicode && eighths % 8 > 0) {
    bar += kParts[static_cast<size_t>(eighths % 8)];
    ++drawn;
  }
  return bar + std::string(static_cast<size_t>(columns - drawn), ' ') + "]";
}

}  // namespace crossover::cli

#include "cli/output/table.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "cli/output/width.h"

namespace crossover::cli {
namespace {

constexpr int kGap = 2;
constexpr int kLeastFlexible = 8;

std::string Padded(const std::string& cell, int width, Align align) {
  const std::string blanks(static_cast<size_t>(std::max(0, width - DisplayWidth(cell))), ' ');
  return align == Align::kRight ? blanks + cell : cell + blanks;
}

void TrimEnd(std::string& line) {
  const size_t last = line.find_last_not_of(' ');
  line.erase(last == std::string::npos ? 0 : last + 1);
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) std::replace(cell.begin(), cell.end(), '\n', ' ');
  rows_.push_back(std::move(cells));
}

std::vector<int> Table::Widths(const Terminal& terminal) const {
  std::vector<int> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    int width = DisplayWidth(columns_[c].title);
    for (const auto& row : rows_) width = std::max(width, DisplayWidth(row[c]));
    widths.push_back(width);
  }
  if (!terminal.out_is_terminal) return widths;
  // Takes from the widest flexible column until the table fits or none can give.
  int excess = std::accumulate(widths.begin(), widths.end(), 0) +
               kGap * (static_cast<int>(widths.size()) - 1) - terminal.width;
  while (excess > 0) {
    int widest = -1;
    for (size_t c = 0; c < columns_.size(); ++c) {
      if (!columns_[c].flexible || widths[c] <= kLeastFlexible) continue;
      if (widest < 0 || widths[c] > widths[static_cast<size_t>(widest)])
        widest = static_cast<int>(c);
    }
    if (widest < 0) break;
    --widths[static_cast<size_t>(widest)];
    --excess;
  }
  return widths;
}

std::string Table::Render(const Terminal& terminal) const {
  if (rows_.empty()) return "";
  const std::vector<int> widths = Widths(terminal);
  const auto line_of = [&](const std::vector<std::string>& cells, bool is_title) {
    std::string line;
    for (size_t c = 0; c < cells.size(); ++c) {
      if (c > 0) line += std::string(kGap, ' ');
      line += Padded(Truncated(cells[c], widths[c]), widths[c], columns_[c].align);
    }
    TrimEnd(line);
    return (is_title ? Styled(terminal, Style::kBold, line) : line) + "\n";
  };
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  std::string out = line_of(titles, true);
  for (const auto& row : rows_) out += line_of(row, false);
  return out;
}

void Details::Add(std::string name, std::string value) {
  if (!value.empty()) lines_.emplace_back(std::move(name), std::move(value));
}

void Details::Gap() {
  if (!lines_.empty() && !lines_.back().first.empty()) lines_.emplace_back();
}

std::string Details::Render(const Terminal& terminal) const {
  int width = 0;
  for (const auto& [name, value] : lines_) width = std::max(width, DisplayWidth(name));
  std::string out;
  for (const auto& [name, value] : lines_) {
    if (name.empty()) {
      out += "\n";
      continue;
    }
    out +=
        Styled(terminal, Style::kDim, Padded(name, width, Align::kLeft)) + std::string(kGap, ' ');
    for (const char c : value) {
      out += c;
      if (c == '\n') out += std::string(static_cast<size_t>(width + kGap), ' ');
    }
    out += "\n";
  }
  return out;
}

}  // namespace crossover::cli

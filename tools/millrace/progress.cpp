#include "tools/millrace/progress.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace millrace::cli {
namespace {

constexpr std::size_t bar_size = 20;
constexpr double weight_of_news = 0.2;

std::chrono::nanoseconds interval(Progress::Mode mode) {
  return mode == Progress::Mode::line ? std::chrono::milliseconds(100) : std::chrono::seconds(1);
}

// h:mm:ss, or m:ss.
std::string duration(double seconds) {
  constexpr double longest = 359'999;  // 99:59:59
  const auto whole = static_cast<unsigned>(std::clamp(seconds + 0.5, 0.0, longest));
  char text[32];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%u:%02u", whole / 60, whole % 60);
  }
  return text;
}

}  // namespace

std::string progress_line(const ProgressLook& look, double rate, const std::string& unit) {
  std::string line;
  if (look.total) {
    const double part =
        *look.total == 0 ? 1.0 : std::min(1.0, static_cast<double>(look.done) / static_cast<double>(*look.total));
    const auto filled = static_cast<std::size_t>(part * bar_size);
    char percent[16];
    std::snprintf(percent, sizeof percent, "%3d %% [", static_cast<int>(part * 100));
    line = percent + std::string(filled, '#') + std::string(bar_size - filled, '.') + "]  ";
  } else {
    line = std::to_string(look.done) + " " + unit + "  ";
  }
  char speed[32];
  std::snprintf(speed, sizeof speed, "%.0f ", rate);
  line += speed + unit + "/s";
  if (!look.position.empty()) line += "  " + look.position;
  if (look.total && look.done < *look.total && rate > 0) {
    line += "  " + duration(static_cast<double>(*look.total - look.done) / rate) + " left";
  }
  return line;
}

Progress::Mode Progress::choose(bool asked, bool quiet) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  if (asked) return terminal ? Mode::line : Mode::lines;
  return terminal && (quiet || ::isatty(STDOUT_FILENO) != 1) ? Mode::line : Mode::off;
}

Progress::Progress(Mode mode, std::string unit, const Clock& clock, int fd)
    : mode_(mode), unit_(std::move(unit)), clock_(&clock), fd_(fd), shown_at_(clock.monotonic()) {}

bool Progress::due() const {
  return mode_ != Mode::off && clock_->monotonic() - shown_at_ >= interval(mode_);
}

void Progress::measure(std::uint64_t done, MonotonicTime now) {
  const double seconds = static_cast<double>((now - shown_at_).count()) * 1e-9;
  if (seconds <= 0) return;
  const double news = done < done_ ? 0.0 : static_cast<double>(done - done_) / seconds;
  rate_ = rate_ == 0 ? news : rate_ + (news - rate_) * weight_of_news;
  done_ = done;
  shown_at_ = now;
}

void Progress::show(const ProgressLook& look) {
  if (mode_ == Mode::off) return;
  measure(look.done, clock_->monotonic());
  const std::string line = progress_line(look, rate_, unit_);
  write(mode_ == Mode::line ? "\r" + line + "\x1b[K" : line + "\n");
  on_line_ = mode_ == Mode::line;
}

void Progress::clear() {
  if (std::exchange(on_line_, false)) write("\r\x1b[K");
}

void Progress::finish(const ProgressLook& look) {
  if (mode_ == Mode::off) return;
  show(look);
  if (std::exchange(on_line_, false)) write("\n");
}

// What does not go out is no loss.
void Progress::write(const std::string& text) const {
  [[maybe_unused]] const auto written = ::write(fd_, text.data(), text.size());
}

}  // namespace millrace::cli

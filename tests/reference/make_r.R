# Write r.json: values that the tests of `quantrial.stats` are compared with, from packages of R.
#
# Run from the repository root: Rscript tests/reference/make_r.R
# Debian: r-base-core, r-cran-clubsandwich, r-cran-boot, r-cran-exactranktests. Tests need none of it.
#
# - cluster_variance: clubSandwich's CR2 and CR1 of a mean, with Satterthwaite's degrees of freedom
#   (Pustejovsky and Tipton 2018)
# - sign_flip: exactRankTests' exact permutation test of paired scores. Its statistic is the plain
#   sum of changes; these cases are ones in which a correction for skewness cannot change which
#   sums lie further out: changes of one size, changes of one sign.
# - ratios: boot's BCa interval (its own bootstrap, the jackknife's acceleration) and the jackknife's
#   standard error of a difference of two ratios of sums; `patch` is the eight subjects of Efron and
#   Tibshirani (1993), table 10.1, whose ratio is -0.0713 there

suppressMessages({
  library(clubSandwich)
  library(boot)
  library(exactRankTests)
})

set.seed(20021101)
number <- function(x) paste0("[", paste(formatC(x, digits = 17, width = 1), collapse = ", "), "]")
one <- function(x) formatC(x, digits = 17, width = 1)
row <- function(...) {
  parts <- list(...)
  paste0("  {", paste0("\"", names(parts), "\": ", parts, collapse = ", "), "}")
}
section <- function(name, rows) {
  paste0(" \"", name, "\": [\n", paste(rows, collapse = ",\n"), "\n ]")
}

clustered <- function(values, sizes) {
  labels <- rep(seq_along(sizes), sizes)
  fit <- lm(values ~ 1)
  cr2 <- vcovCR(fit, cluster = labels, type = "CR2")
  cr1 <- vcovCR(fit, cluster = labels, type = "CR1")
  tested <- coef_test(fit, vcov = cr2, test = "Satterthwaite")
  df <- if (is.null(tested$df_Satt)) tested$df else tested$df_Satt
  row(
    values = number(values), clusters = number(labels), mean = one(coef(fit)[[1]]),
    cr2 = one(cr2[1, 1]), df = one(df), cr1 = one(cr1[1, 1])
  )
}
noisy <- function(sizes) {
  labels <- rep(seq_along(sizes), sizes)
  round(rnorm(length(sizes))[labels] + rnorm(sum(sizes)), 3)
}
flipped <- function(sizes) sample(c(-1, 0, 1), sum(sizes), TRUE, c(.08, .88, .04))
clusters <- list(
  clustered(noisy(rep(4, 5)), rep(4, 5)),
  clustered(noisy(c(3, 1, 4, 1, 5, 9, 2)), c(3, 1, 4, 1, 5, 9, 2)),
  clustered(noisy(c(56, 1, 1, 1, 1)), c(56, 1, 1, 1, 1)),
  clustered(flipped(c(2, 4, 6, 8, 10, 20, 30, 40)), c(2, 4, 6, 8, 10, 20, 30, 40)),
  clustered(flipped(rep(c(3, 5, 14), 6)), rep(c(3, 5, 14), 6))
)

swapped <- function(reference, candidate) {
  test <- perm.test(candidate, reference, paired = TRUE, exact = TRUE)
  row(reference = number(reference), candidate = number(candidate), p = one(test$p.value))
}
flips <- list(
  swapped(rep(c(1, 0), c(27, 19)), rep(c(0, 1), c(27, 19))),
  swapped(rep(c(1, 0, 1), c(9, 2, 30)), rep(c(0, 1, 1), c(9, 2, 30))),
  swapped(c(3, 5, 2, 7, 4, 1), c(1, 0, 1, 2, 2, 0)),
  swapped(c(0, 2, 0, 1, 4, 3, 0, 5), c(1, 3, 4, 2, 9, 3, 2, 6))
)

compared <- function(name, top, bottom, level, resamples = 200000) {
  data <- cbind(top, bottom)
  ratios <- function(d, i) {
    s <- colSums(d[i, , drop = FALSE])
    s[[2]] / s[[4]] - s[[1]] / s[[3]]
  }
  drawn <- boot(data, ratios, resamples)
  pulls <- empinf(data = data, statistic = ratios, type = "jack", stype = "i")
  interval <- boot.ci(drawn, conf = level, type = "bca", L = pulls)$bca[4:5]
  n <- nrow(data)
  row(
    name = paste0("\"", name, "\""),
    reference_top = number(top[, 1]), candidate_top = number(top[, 2]),
    reference_bottom = number(bottom[, 1]), candidate_bottom = number(bottom[, 2]),
    confidence = one(level), estimate = one(drawn$t0), resamples = one(resamples),
    bca = number(interval), error = one(sqrt(sum((pulls - mean(pulls))^2) / (n * (n - 1))))
  )
}
micro_f1 <- function(n) {
  gold <- rpois(n, 1.5)
  hits <- cbind(rbinom(n, gold, .75), rbinom(n, gold, .6))
  named <- hits + cbind(rpois(n, .2), rpois(n, .35))
  list(top = 2 * hits, bottom = named + gold)
}
f1 <- micro_f1(90)
rare <- cbind(rep(1, 100), rep(c(0, 1), c(8, 92)))
rare[1:8, 2] <- c(.9, .8, .8, .6, .5, .3, .1, 0)
placebo <- c(9243, 9671, 11792, 13357, 9055, 6290, 12412, 18806)
old <- c(17649, 12013, 19979, 21816, 13850, 9806, 17208, 29044)
new <- c(16449, 14614, 17274, 23798, 12560, 10157, 16570, 26325)
compared_rows <- list(
  compared("micro-F1", f1$top, f1$bottom, .95),
  compared("few losses", rare, matrix(1, 100, 2), .95),
  compared("patch", cbind(0, new - old), cbind(1, old - placebo), .9)
)

versions <- sapply(c("clubSandwich", "boot", "exactRankTests"), function(p) {
  paste0("\"", p, "\": \"", packageVersion(p), "\"")
})
document <- paste0(
  "{\n \"made_with\": {\"R\": \"", getRversion(), "\", ", paste(versions, collapse = ", "), "},\n",
  paste(
    section("cluster_variance", clusters), section("sign_flip", flips),
    section("ratios", compared_rows),
    sep = ",\n"
  ),
  "\n}\n"
)
cat(document, file = "tests/reference/r.json")

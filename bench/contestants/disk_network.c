/* Training steps of the disk network in plain C. WIDTH, BATCH, EPOCH_BATCHES and LEARNING_RATE are
   given to the compiler, so that it knows every size. Matrices lie row by row. */

#include <math.h>

enum { IN = 2, OUT = 2, ROWS = 8, COLUMNS = 32 };

/* C = A · B for a tile of at most ROWS rows and COLUMNS columns; the sums stay in registers.
   a(i, k) = a[i * a_row + k * a_column]. */
static inline __attribute__((always_inline)) void tile(
    int rows, int columns, int depth, const float *a, long a_row, long a_column,
    const float *b, long b_row, float *c, long c_row)
{
    float sums[ROWS][COLUMNS];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            sums[i][j] = 0;
    for (int k = 0; k < depth; k++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                sums[i][j] += a[i * a_row + k * a_column] * b[k * b_row + j];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            c[i * c_row + j] = sums[i][j];
}

/* C = A · B, with A of rows × depth by strides, and B and C dense. */
static inline __attribute__((always_inline)) void product(
    int rows, int columns, int depth, const float *a, long a_row, long a_column,
    const float *b, float *c)
{
    const int whole = rows / ROWS * ROWS;
    #pragma omp parallel for schedule(static)
    for (int i = 0; i < whole; i += ROWS) {
        int j = 0;
        for (; j + COLUMNS <= columns; j += COLUMNS)
            tile(ROWS, COLUMNS, depth, a + i * a_row, a_row, a_column, b + j, columns,
                 c + (long)i * columns + j, columns);
        if (j < columns)
            tile(ROWS, columns % COLUMNS, depth, a + i * a_row, a_row, a_column, b + j, columns,
                 c + (long)i * columns + j, columns);
    }
    for (int i = whole; i < rows; i++) {
        int j = 0;
        for (; j + COLUMNS <= columns; j += COLUMNS)
            tile(1, COLUMNS, depth, a + i * a_row, a_row, a_column, b + j, columns,
                 c + (long)i * columns + j, columns);
        if (j < columns)
            tile(1, columns % COLUMNS, depth, a + i * a_row, a_row, a_column, b + j, columns,
                 c + (long)i * columns + j, columns);
    }
}

static float transposed[WIDTH * WIDTH], gradient[WIDTH * WIDTH];
static float x1[BATCH * WIDTH], x2[BATCH * WIDTH], x3[BATCH * WIDTH], y[BATCH * OUT];
static float d1[BATCH * WIDTH], d2[BATCH * WIDTH], d3[BATCH * WIDTH], d4[BATCH * OUT];

static inline __attribute__((always_inline)) void linear(
    int in, int out, const float *x, const float *w, const float *b, float *result)
{
    product(BATCH, out, in, x, in, 1, w, result);
    for (int i = 0; i < BATCH; i++)
        for (int j = 0; j < out; j++)
            result[i * out + j] += b[j];
}

/* The gradient of the layer's input: d · Wᵀ. */
static inline __attribute__((always_inline)) void backward(
    int in, int out, const float *d, const float *w, float *result)
{
    enum { BLOCK = 16 };  /* both matrices of a block lie in the cache */
    for (int i0 = 0; i0 < in; i0 += BLOCK)
        for (int j0 = 0; j0 < out; j0 += BLOCK)
            for (int i = i0; i < i0 + BLOCK && i < in; i++)
                for (int j = j0; j < j0 + BLOCK && j < out; j++)
                    transposed[j * in + i] = w[i * out + j];
    product(BATCH, in, out, d, out, 1, transposed, result);
}

static inline __attribute__((always_inline)) void update(
    int in, int out, const float *x, const float *d, float *w, float *b)
{
    product(in, out, BATCH, x, 1, in, d, gradient);
    for (int i = 0; i < in * out; i++)
        w[i] -= LEARNING_RATE * gradient[i];
    float sums[WIDTH > OUT ? WIDTH : OUT] = {0};
    for (int i = 0; i < BATCH; i++)
        for (int j = 0; j < out; j++)
            sums[j] += d[i * out + j];
    for (int j = 0; j < out; j++)
        b[j] -= LEARNING_RATE * sums[j];
}

static float step(float *const *parameters, const float *x, const float *target)
{
    float *w1 = parameters[0], *b1 = parameters[1], *w2 = parameters[2], *b2 = parameters[3];
    float *w3 = parameters[4], *b3 = parameters[5], *w4 = parameters[6], *b4 = parameters[7];

    linear(IN, WIDTH, x, w1, b1, x1);
    for (int i = 0; i < BATCH * WIDTH; i++)
        x1[i] = x1[i] > 0 ? x1[i] : 0;
    linear(WIDTH, WIDTH, x1, w2, b2, x2);
    for (int i = 0; i < BATCH * WIDTH; i++)
        x2[i] = tanhf(x2[i]);
    linear(WIDTH, WIDTH, x2, w3, b3, x3);
    for (int i = 0; i < BATCH * WIDTH; i++)
        x3[i] = x3[i] > 0 ? x3[i] : 0;
    linear(WIDTH, OUT, x3, w4, b4, y);

    float loss = 0;
    for (int i = 0; i < BATCH * OUT; i++) {
        float difference = y[i] - target[i];
        loss += difference * difference;
        d4[i] = 2 * difference;
    }
    backward(WIDTH, OUT, d4, w4, d3);
    for (int i = 0; i < BATCH * WIDTH; i++)
        d3[i] = x3[i] > 0 ? d3[i] : 0;
    backward(WIDTH, WIDTH, d3, w3, d2);
    for (int i = 0; i < BATCH * WIDTH; i++)
        d2[i] *= 1 - x2[i] * x2[i];
    backward(WIDTH, WIDTH, d2, w2, d1);
    for (int i = 0; i < BATCH * WIDTH; i++)
        d1[i] = x1[i] > 0 ? d1[i] : 0;

    update(IN, WIDTH, x, d1, w1, b1);
    update(WIDTH, WIDTH, x1, d2, w2, b2);
    update(WIDTH, WIDTH, x2, d3, w3, b3);
    update(WIDTH, OUT, x3, d4, w4, b4);
    return loss;
}

/* Train an epoch and return its summed loss. */
float train_epoch(float *const *parameters, const float *x, const float *target)
{
    float total = 0;
    for (int k = 0; k < EPOCH_BATCHES; k++)
        total += step(parameters, x + (long)k * BATCH * IN, target + (long)k * BATCH * OUT);
    return total;
}
